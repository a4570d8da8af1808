"""The linear probe of the official MAE (main_linprobe.py; arXiv 2111.06377, appendix A.1), and with
any pool Beyond [cls]'s.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from mim.batch import Batch
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, EvaluatedData, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import ExtractedBatch, extract_batches
from mim.evaluate.heads import Heads
from mim.evaluate.probe import best, grid, rows, sort_pools
from mim.optim.lars import Lars
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.pool.pool import Pool, Pools, pool_tokens, width_of
from mim.ranges import Count, NonNegativeInt, Positive, Seed


@runtime_checkable
class _Shuffles(Protocol):
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


class ProbeMAE:
    """Train heads by LARS on augmented images, which a frozen encoder sees in eval mode anew in
    every epoch.

    Batch norm without affine before a linear layer; heads of every pool, learning rate and weight
    decay are trained side by side on the same pass of the encoder. Batch norm sees a part of a step
    at a time, as on the devices of the official training; the data's batch size says only how many
    images the encoder takes at once.

    Args:
        pools: what stands for an image, by name.
        base_lr: learning rates for a batch of 256; the peak is `base_lr * batch_size / 256`.
        weight_decay: of matrices.
        epochs: passes over the training images.
        warmup_epochs: of linear rise, before half a cosine.
        batch_size: images per step.
        batch_norm_images: images that batch norm sees together: officially 512, those of one device
            and pass (main_linprobe.py with FINETUNE.md:137-155), 2,048 in Beyond [cls]
            (gmum/beyond_cls README.md:27-37). All of a step that is smaller.
        head_std: deviation of the first weights of a head; null for torch's own start (Beyond
            [cls]).
        seed: of weights.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        held_out_limit: judge at most so many held-out images; null for all.
    """

    learns = True

    def __init__(
        self,
        pools: Pools,
        base_lr: float | Sequence[float] = 0.1,
        weight_decay: float | Sequence[float] = 0.0,
        epochs: Count = 90,
        warmup_epochs: NonNegativeInt = 10,
        batch_size: Count = 16384,
        batch_norm_images: Count = 512,
        head_std: Positive | None = 0.01,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        held_out_limit: Count | None = None,
    ):
        self.pools, self.settings = pools, grid(base_lr, weight_decay)
        self.epochs, self.schedule, self.batch_size = (
            epochs,
            WarmupCosine(warmup_epochs),
            batch_size,
        )
        self.batch_norm_images, self.head_std = min(batch_norm_images, batch_size), head_std
        self.seed, self.block, self.norm, self.held_out_limit = seed, block, norm, held_out_limit
        if batch_size % self.batch_norm_images:
            raise ValueError(
                f"evaluate.batch_size={batch_size} has to be a multiple of "
                f"evaluate.batch_norm_images={batch_norm_images}; e.g. "
                f"evaluate.batch_size={batch_size // batch_norm_images * batch_norm_images}"
            )
        # refuses a warm-up that is too long before anything is done
        self.schedule(Progress(0, epochs, 1), 1.0)

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`probe_mae/top1` of the best head, which one it is, and a table of all."""
        return best(
            "probe_mae", [row for checkpoint in checkpoints for row in self._rows(checkpoint)]
        )

    def _rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        classes = needs_classes(checkpoint, "evaluate=probe_mae")
        checkpoint.data.learn_from_labels()
        self._check_size(checkpoint.data)
        free, learned = sort_pools(self.pools, checkpoint.encoder, self.seed)
        extractor = FeatureExtractor(checkpoint.encoder, free, self.block, self.norm)
        device = next(checkpoint.encoder.parameters()).device
        every = {}
        for name in self.pools:
            width = width_of((free | learned)[name], checkpoint.encoder)
            every[name] = Heads(
                learned.get(name), width, classes, self.settings, self.seed, self.head_std
            ).to(device)
        self._fit(checkpoint, extractor, every, learned)
        scores, label = self._judge(checkpoint, extractor, every, learned)
        for name, heads in every.items():
            about = {"checkpoint": checkpoint.name, "pool": name, "block": extractor.block_number}
            yield from rows(about, heads, scores[name], label, checkpoint.data.classes)

    def _check_size(self, data: EvaluatedData) -> None:
        """Refuse a batch that the training images do not fill.

        Raises:
            ValueError: naming the largest that they do.
        """
        if self.batch_size > data.train_size:
            alike = min(self.batch_norm_images, data.train_size)
            most = data.train_size // alike * alike
            raise ValueError(
                f"evaluate.batch_size={self.batch_size} is more than the {data.train_size:,} "
                "training images of "
                f"{type(data).__name__}; the largest that fits is evaluate.batch_size={most}"
            )

    @torch.enable_grad()
    def _fit(
        self,
        checkpoint: EvaluatedCheckpoint,
        extractor: FeatureExtractor,
        every: dict[str, Heads],
        learned: Mapping[str, Pool],
    ) -> None:
        factor, gathered = self.batch_size / 256, self.batch_size // self.batch_norm_images
        optimizer = Lars(
            [group for heads in every.values() for group in heads.groups(factor)], lr=0.0
        )
        peaks = [group["lr"] for group in optimizer.param_groups]
        loader = checkpoint.data.train_dataloader(self.batch_norm_images)
        sampler = loader.sampler
        assert isinstance(sampler, _Shuffles)
        steps = len(sampler) // gathered
        for epoch in range(self.epochs):
            sampler.set_epoch(epoch)
            total = torch.zeros((), device=next(extractor.encoder.parameters()).device)
            for number, seen in enumerate(
                _see_whole(checkpoint, extractor, itertools.islice(loader, steps * gathered))
            ):
                if number % gathered == 0:
                    step = epoch * steps + number // gathered
                    share = self.schedule(Progress(step, self.epochs * steps, steps), 1.0)
                    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                        group["lr"] = peak * share
                losses = [
                    heads.loss(_given(seen, name, extractor, learned), seen.label)
                    for name, heads in every.items()
                ]
                loss = torch.stack(losses).sum() / gathered
                loss.backward()
                total += loss.detach()
                if (number + 1) % gathered == 0:
                    optimizer.step()
                    optimizer.zero_grad()
            print(
                f"epoch {epoch + 1}/{self.epochs}  loss "
                f"{total / steps / len(every) / len(self.settings):.4f}",
                flush=True,
            )

    @torch.no_grad()
    def _judge(
        self,
        checkpoint: EvaluatedCheckpoint,
        extractor: FeatureExtractor,
        every: dict[str, Heads],
        learned: Mapping[str, Pool],
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Scores (heads, M, classes) by pool, and labels (M,), of the held-out images."""
        scores: dict[str, list[Tensor]] = {name: [] for name in every}
        labels = []
        for seen in extract_batches(
            checkpoint, extractor, checkpoint.data.val_dataloader(self.held_out_limit)
        ):
            labels.append(seen.label)
            for name, heads in every.items():
                scores[name].append(heads.eval()(_given(seen, name, extractor, learned)))
        return {name: torch.cat(parts, dim=1) for name, parts in scores.items()}, torch.cat(labels)


def _given(
    seen: ExtractedBatch, name: str, extractor: FeatureExtractor, learned: Mapping[str, Pool]
) -> Tensor:
    """What the heads of a pool are given: what it has made, or the tokens that it learns on."""
    if name not in learned:
        return seen.pooled[name].float()
    return pool_tokens(seen.tokens, extractor.encoder.prefix, learned[name].needs).float()


def _see_whole(
    checkpoint: EvaluatedCheckpoint, extractor: FeatureExtractor, batches: Iterable[Batch]
) -> Iterator[ExtractedBatch]:
    """What is seen of each batch, of which the encoder takes no more images at once than the data's
    batch size.
    """
    for batch in batches:
        seen = list(extract_batches(checkpoint, extractor, batch.split(checkpoint.data.batch_size)))
        pooled = {name: torch.cat([part.pooled[name] for part in seen]) for name in extractor.pools}
        yield ExtractedBatch(
            torch.cat([part.tokens for part in seen]),
            pooled,
            torch.cat([part.label for part in seen]),
            torch.cat([part.index for part in seen]),
        )
