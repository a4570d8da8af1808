"""Heads of every pool trained on augmented images: what MAE's linear probe and CAE's attentive
probe share.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch.optim import Optimizer

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, EvaluatedData, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.heads import Heads, Setting
from mim.evaluate.probe import best, rows, sort_pools
from mim.evaluate.side_by_side import SideBySide
from mim.optim.layer_decay import Group
from mim.optim.schedule import Schedule
from mim.part import Progress
from mim.pool.pool import Pool, Pools, width_of


@dataclass
class PooledProbe:
    """Heads behind any pool of a frozen encoder: batch norm without affine, then a linear layer.

    The encoder is in eval mode and sees augmented images anew in every epoch; heads of every pool
    and setting are trained side by side on the same pass. Batch norm sees a part of a step at a
    time, as on the devices of the official trainings; the data's batch size says only how many
    images the encoder takes at once.

    Args:
        name: of the evaluation.
        pools: what stands for an image, by name.
        settings: of heads; the peak is `lr * batch_size / 256`.
        optimizer: of groups at their peaks.
        schedule: of the rate.
        epochs: passes over the training images.
        batch_size: images per step.
        batch_norm_images: images that batch norm sees together; all of a step that is smaller.
        norm_eps: epsilon of the batch norm.
        head_std: deviation of the first weights of a head; None for torch's own start.
        seed: of weights.
        block: of which block's tokens; None for the last.
        norm: whether the encoder's final norm is applied to them.
        held_out_limit: judge at most so many held-out images; None for all.

    Raises:
        ValueError: where a step is no multiple of the images of a batch norm, or the warm-up is
            longer than the training.
    """

    name: str
    pools: Pools
    settings: list[Setting]
    optimizer: Callable[[list[Group]], Optimizer]
    schedule: Schedule
    epochs: int
    batch_size: int
    batch_norm_images: int
    norm_eps: float
    head_std: float | None
    seed: int
    block: int | None
    norm: bool
    held_out_limit: int | None

    def __post_init__(self) -> None:
        together = self.batch_norm_images = min(self.batch_norm_images, self.batch_size)
        if self.batch_size % together:
            raise ValueError(
                f"evaluate.batch_size={self.batch_size} has to be a multiple of "
                f"evaluate.batch_norm_images={together}; e.g. "
                f"evaluate.batch_size={self.batch_size // together * together}"
            )
        # refuses a warm-up that is too long before anything is done
        self.schedule(Progress(0, self.epochs, 1), 1.0)

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`<name>/top1` of the best head, which one it is, and a table of all."""
        return best(
            self.name, [row for checkpoint in checkpoints for row in self._rows(checkpoint)]
        )

    def heads(self, pool: Pool | None, width: int, classes: int) -> Heads:
        """A head for each setting, behind a pool with weights or None."""
        return Heads(pool, width, classes, self.settings, self.seed, self.head_std, self.norm_eps)

    def _rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        classes = needs_classes(checkpoint, f"evaluate={self.name}")
        checkpoint.data.learn_from("classes")
        self._check_size(checkpoint.data)
        free, learned = sort_pools(self.pools, checkpoint.encoder, self.seed)
        extractor = FeatureExtractor(checkpoint.encoder, free, self.block, self.norm)
        device = next(checkpoint.encoder.parameters()).device
        every = {}
        for name in self.pools:
            width = width_of((free | learned)[name], checkpoint.encoder)
            every[name] = self.heads(learned.get(name), width, classes).to(device)
        trained = SideBySide(checkpoint, extractor, every, learned)
        for _ in trained.fit(
            self.optimizer, self.schedule, self.epochs, self.batch_size, self.batch_norm_images
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
