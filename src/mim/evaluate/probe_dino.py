"""The linear probe of DINO and iBOT (eval_linear.py; eval_linear_multi.py): a grid of rates, on
tokens of the last blocks.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.optim import SGD

from mim.encoder.encoder import Encoder
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.heads import Heads
from mim.evaluate.probe import best, grid, rows
from mim.evaluate.side_by_side import SideBySide
from mim.optim.layer_decay import Group
from mim.optim.schedule import CosineByEpoch
from mim.ranges import Count, Positive, Positives, Seed

RATES = tuple(round(n * 10.0**k, 4) for k in range(-4, 1) for n in range(1, 10))
"""Rates of iBOT's grid (eval_linear_multi.py:78)."""


def sgd(groups: list[Group]) -> SGD:
    """SGD with momentum, without decay."""
    return SGD([dict(group) for group in groups], lr=0.0, momentum=0.9)


class LastBlocks:
    """Cls tokens of the last blocks, each after the final norm, side by side; behind them the mean
    of the last one's patches.

    Args:
        encoder: with a cls token.
        blocks: how many.
        mean: whether the mean of the patches is one of them.

    Raises:
        ValueError: where the encoder has no cls token, or fewer blocks.
    """

    def __init__(self, encoder: Encoder, blocks: int, mean: bool):
        if not encoder.prefix:
            raise ValueError(
                f"{type(encoder).__name__} has no cls token, and evaluate=probe_dino looks at "
                "those of the last blocks; take evaluate=probe_mae pool=mean"
            )
        if blocks > encoder.depth:
            raise ValueError(
                f"evaluate.blocks={blocks} and the encoder has {encoder.depth}; allowed: 1 to "
                f"{encoder.depth}"
            )
        self.encoder, self.blocks, self.mean = encoder, blocks, mean
        self.width = encoder.width * (blocks + mean)
        self.name = f"cls_of_{blocks}" if blocks > 1 else "cls"
        self.name += "_mean" if mean else ""

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, C, H, W) -> tokens of the last block (B, R + L, D), and what stands for each
        image (B, D').
        """
        depth, encoder = self.encoder.depth, self.encoder
        numbers = list(range(depth - self.blocks + 1, depth + 1))
        left = [encoder.norm(x) for x in encoder.encode_blocks(encoder.embed(image), numbers)]
        parts = [tokens[:, 0] for tokens in left]
        parts += [left[-1][:, encoder.prefix :].mean(1)] if self.mean else []
        return left[-1], {self.name: torch.cat(parts, dim=-1)}


class ProbeDINO:
    """Train linear layers by SGD on augmented images, which a frozen encoder sees in eval mode anew
    in every epoch.

    No batch norm. Layers of every learning rate are trained side by side on the same pass of the
    encoder, and judged after each epoch; the best rate at its best epoch counts, as in the release.
    DINO's release trains one rate at a time: base_lr=1e-3.

    Args:
        blocks: whose cls tokens stand side by side: 4 of a ViT-S, 1 of larger ones.
        mean: whether the mean of the last block's patches stands beside them: of all larger than a
            ViT-S.
        base_lr: learning rates for a batch of 256; the peak is `base_lr * batch_size / 256`, and
            falls once an epoch.
        epochs: passes over the training images.
        batch_size: images per step.
        judge_every_n_epochs: how often all are judged; the last epoch is in any case.
        head_std: deviation of the first weights.
        seed: of weights.
        held_out_limit: judge at most so many held-out images; null for all.
    """

    learns = True

    def __init__(
        self,
        blocks: Count = 4,
        mean: bool = False,
        base_lr: Positives = RATES,
        epochs: Count = 100,
        batch_size: Count = 1024,
        judge_every_n_epochs: Count = 1,
        head_std: Positive = 0.01,
        seed: Seed = 0,
        held_out_limit: Count | None = None,
    ):
        self.blocks, self.mean, self.settings = blocks, mean, grid(base_lr, 0.0)
        self.epochs, self.batch_size, self.head_std = epochs, batch_size, head_std
        self.judge_every_n_epochs, self.seed = judge_every_n_epochs, seed
        self.held_out_limit, self.schedule = held_out_limit, CosineByEpoch()

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`probe_dino/top1` of the best rate and epoch, which they are, and a table of all."""
        return best(
            "probe_dino", [row for checkpoint in checkpoints for row in self._rows(checkpoint)]
        )

    def _rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        classes = needs_classes(checkpoint, "evaluate=probe_dino")
        checkpoint.data.learn_from("classes")
        if self.batch_size > checkpoint.data.train_size:
            raise ValueError(
                f"evaluate.batch_size={self.batch_size} is more than the "
                f"{checkpoint.data.train_size:,} training images; take at most so many"
            )
        extractor = LastBlocks(checkpoint.encoder, self.blocks, self.mean)
        device = next(checkpoint.encoder.parameters()).device
        heads = self.heads(extractor.width, classes).to(device)
        trained = SideBySide(checkpoint, extractor, {extractor.name: heads}, {})
        for epoch in trained.fit(sgd, self.schedule, self.epochs, self.batch_size, self.batch_size):
            if epoch % self.judge_every_n_epochs and epoch < self.epochs:
                continue
            scores, label = trained.scores(self.held_out_limit)
            about: Row = {"checkpoint": checkpoint.name, "pool": extractor.name, "epoch": epoch}
            found = scores[extractor.name]
            yield from rows(about, heads, found, label, checkpoint.data.classes)

    def heads(self, width: int, classes: int) -> Heads:
        """A linear layer for each rate, without a norm."""
        return Heads(None, width, classes, self.settings, self.seed, self.head_std, norm_eps=None)
