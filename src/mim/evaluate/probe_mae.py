"""The linear probe of the official MAE (main_linprobe.py; arXiv 2111.06377, appendix A.1), and with
any pool Beyond [cls]'s.
"""

from collections.abc import Iterator, Sequence

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, EvaluatedData, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.heads import Heads
from mim.evaluate.probe import best, grid, rows, sort_pools
from mim.evaluate.side_by_side import SideBySide
from mim.optim.lars import Lars
from mim.optim.layer_decay import Group
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.pool.pool import Pools, width_of
from mim.ranges import Count, NonNegativeInt, Positive, Seed


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
        checkpoint.data.learn_from("classes")
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
        trained = SideBySide(checkpoint, extractor, every, learned)
        for _ in trained.fit(
            lars, self.schedule, self.epochs, self.batch_size, self.batch_norm_images
        ):
            pass
        scores, label = trained.scores(self.held_out_limit)
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


def lars(groups: list[Group]) -> Lars:
    """LARS, each group at its own rate."""
    return Lars(groups, lr=0.0)
