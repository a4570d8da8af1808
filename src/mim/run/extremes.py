"""Largest and smallest of a number that each process of a run has; all of them ask together."""

from typing import Literal

import pytorch_lightning as L
import torch


def largest(number: float, trainer: L.Trainer, pl_module: L.LightningModule) -> float:
    """Largest number of any process."""
    return _extreme("max", number, trainer, pl_module)


def smallest(number: float, trainer: L.Trainer, pl_module: L.LightningModule) -> float:
    """Smallest number of any process."""
    return _extreme("min", number, trainer, pl_module)


def _extreme(
    which: Literal["max", "min"], number: float, trainer: L.Trainer, pl_module: L.LightningModule
) -> float:
    if trainer.world_size == 1:
        return number
    here = torch.tensor(float(number), device=pl_module.device)
    return float(trainer.strategy.reduce(here, reduce_op=which))
