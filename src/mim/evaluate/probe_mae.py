"""The linear probe of the official MAE (main_linprobe.py; arXiv 2111.06377, appendix A.1), and with
any pool Beyond [cls]'s.
"""

from collections.abc import Sequence

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.evaluate.pooled_probe import PooledProbe
from mim.evaluate.probe import grid
from mim.optim.lars import Lars
from mim.optim.layer_decay import Group
from mim.optim.schedule import WarmupCosine
from mim.pool.pool import Pools
from mim.ranges import Count, NonNegativeInt, NotNegatives, Positive, Positives, Seed


class ProbeMAE:
    """Train heads by LARS on augmented images, which a frozen encoder sees in eval mode anew in
    every epoch.

    Batch norm without affine before a linear layer; heads of every pool, learning rate and weight
    decay are trained side by side on the same pass of the encoder.

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
        base_lr: Positives = 0.1,
        weight_decay: NotNegatives = 0.0,
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
        self.probe = PooledProbe(
            name="probe_mae",
            pools=pools,
            settings=grid(base_lr, weight_decay),
            optimizer=lars,
            schedule=WarmupCosine(warmup_epochs),
            epochs=epochs,
            batch_size=batch_size,
            batch_norm_images=batch_norm_images,
            norm_eps=1e-6,
            head_std=head_std,
            seed=seed,
            block=block,
            norm=norm,
            held_out_limit=held_out_limit,
        )

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`probe_mae/top1` of the best head, which one it is, and a table of all."""
        return self.probe(checkpoints)


def lars(groups: list[Group]) -> Lars:
    """LARS, each group at its own rate."""
    return Lars(groups, lr=0.0)
