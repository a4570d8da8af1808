"""Clipping of gradients, once a step."""

from collections.abc import Iterable
from typing import Protocol

import pytorch_lightning as L
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer


class Clip(Protocol):
    """Clipping of gradients."""

    max_norm: float

    def __call__(self, parameters: Iterable[Tensor]) -> None:
        """Cut the gradients of parameters down, in place."""


def refuse_late_unscaling(trainer: L.Trainer, optimizer: Optimizer, clips: bool) -> None:
    """Refuse clipping where the optimiser itself undoes the scaling of gradients, later than that.

    Raises:
        ValueError: saying what to change.
    """
    plugin = trainer.precision_plugin
    scaled = isinstance(plugin, MixedPrecision) and plugin.scaler
    if optimizer.defaults.get("fused") and scaled and clips:
        raise ValueError(
            "trainer.precision=16-mixed scales gradients, and a fused optimiser undoes that "
            "after they are cut down; give "
            "optimizer.fused=false, or trainer.precision=bf16-mixed"
        )


def clipped_in_mixed_precision(
    trainer: L.Trainer, optimizer: Optimizer, most: float | None, algorithm: str | None
) -> bool:
    """Whether the trainer's own limit was put on the gradients here, under mixed precision.

    Lightning refuses it for fused optimisers there, though only gradients of float16 are scaled.
    """
    plugin = trainer.precision_plugin
    if not most or not isinstance(plugin, MixedPrecision):
        return False
    Precision.clip_gradients(plugin, optimizer, most, GradClipAlgorithmType(algorithm or "norm"))
    return True
