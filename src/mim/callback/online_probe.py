"""How good the features are while training goes on: classifiers on clean, held-out images."""

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from mim.batch import Batch
from mim.task.features import Features, extract

Judge = Callable[[Features, Tensor, int], Tensor]
"""Labelled features, queries (M, D) and the number of classes -> class scores (M, classes)."""


class OnlineProbe(L.Callback):
    """Every n epochs, classify the held-out images by features of the frozen encoder; log top-1 accuracy as `<judge>/top1`.

    Features come from whole, un-augmented images in eval mode, once for all judges. Judges have their own optimisers and random
    streams: the weights that training yields are bit-identical with and without them.

    Args:
        pool: (B, 1 + L, D) -> (B, D), what stands for an image.
        judges: classifiers by name.
        every_n_epochs: how often; also after the last epoch, and before the first for comparison.
        bank_limit: learn from at most so many training images, evenly spread over the set; null for all.
        held_out_limit: classify at most so many held-out images; null for all.
    """

    def __init__(
        self,
        pool: nn.Module,
        judges: Mapping[str, Judge],
        every_n_epochs: int,
        bank_limit: int | None = None,
        held_out_limit: int | None = None,
    ):
        self.pool, self.judges, self.every_n_epochs = pool, judges, every_n_epochs
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Judge the untrained encoder, unless training is being resumed."""
        if trainer.global_step == 0:
            untrained = {f"{name}_untrained": value for name, value in self.judge(trainer, pl_module).items()}
            pl_module.log_dict(untrained, sync_dist=True)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Judge."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            pl_module.log_dict(self.judge(trainer, pl_module), sync_dist=True)

    def judge(self, trainer: Any, pl_module: Any) -> dict[str, float]:
        """Top-1 accuracies on the held-out images; nothing where the data set has no labels."""
        data = trainer.datamodule
        if not data.num_classes:
            return {}

        def prepare(batch: Batch) -> Batch:
            return trainer.strategy.batch_to_device(batch, pl_module.device)

        autocast = trainer.precision_plugin.forward_context
        encoder = pl_module.model.encoder
        with torch.random.fork_rng():
            bank = extract(encoder, self.pool, data.bank_dataloader(self.bank_limit), prepare, autocast)
            held_out = extract(encoder, self.pool, data.val_dataloader(self.held_out_limit), prepare, autocast)
            scores = {name: judge(bank, held_out.feature, data.num_classes) for name, judge in self.judges.items()}
        return {
            f"{name}/top1": multiclass_accuracy(score, held_out.label, data.num_classes, average="micro").item()
            for name, score in scores.items()
        }
