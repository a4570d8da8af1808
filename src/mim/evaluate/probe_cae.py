"""The attentive probe of CAE's release (lxtGH/CAE, tools/run_attentive.py; arXiv 2202.03026)."""

from collections.abc import Sequence

from torch.optim import SGD

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.evaluate.pooled_probe import PooledProbe
from mim.evaluate.probe import grid
from mim.optim.layer_decay import Group
from mim.optim.table import LinspaceCosine
from mim.pool.pool import Pools
from mim.ranges import Count, NonNegativeInt, Positive, Positives, Seed


def nesterov(groups: list[Group]) -> SGD:
    """SGD with Nesterov's momentum, each group at its own rate and without decay."""
    return SGD([dict(group) for group in groups], lr=0.0, momentum=0.9, nesterov=True)


class ProbeCAE:
    """Train a pool and a head by SGD with Nesterov's momentum on augmented images, which a frozen
    encoder sees in eval mode anew in every epoch.

    Batch norm without affine before a linear layer. The release has one rate, 0.4 for 8,192
    images; several are trained side by side. It judges with batch norms of held-out images
    (modeling_finetune.py:463-467: `is_train` is never false), so that an image's class depends on
    the others of its batch, and prints its best epoch: here running statistics and the last epoch
    count.

    Args:
        pools: what stands for an image, by name: attentive_cae in the release.
        base_lr: learning rates for a batch of 256; the peak is `base_lr * batch_size / 256`.
        epochs: passes over the training images.
        warmup_epochs: of linear rise, before half a cosine to 1e-6.
        batch_size: images per step.
        batch_norm_images: images that batch norm sees together: those of one of 32 devices. All of
            a step that is smaller.
        head_std: deviation of the first weights of a head.
        seed: of weights.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        held_out_limit: judge at most so many held-out images; null for all.
    """

    learns = True

    def __init__(
        self,
        pools: Pools,
        base_lr: Positives = 0.0125,
        epochs: Count = 90,
        warmup_epochs: NonNegativeInt = 10,
        batch_size: Count = 8192,
        batch_norm_images: Count = 256,
        head_std: Positive = 0.01,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        held_out_limit: Count | None = None,
    ):
        self.probe = PooledProbe(
            name="probe_cae",
            pools=pools,
            settings=grid(base_lr, 0.0),
            optimizer=nesterov,
            schedule=LinspaceCosine(warmup_epochs, min_lr=1e-6),
            epochs=epochs,
            batch_size=batch_size,
            batch_norm_images=batch_norm_images,
            norm_eps=1e-5,
            head_std=head_std,
            seed=seed,
            block=block,
            norm=norm,
            held_out_limit=held_out_limit,
        )

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`probe_cae/top1` of the best head, which one it is, and a table of all."""
        return self.probe(checkpoints)
