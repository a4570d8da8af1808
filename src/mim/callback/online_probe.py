"""How good the features are while training goes on: k-NN and a linear probe on clean, held-out images."""

from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from mim.batch import Batch
from mim.task.features import extract
from mim.task.knn import knn_scores
from mim.task.linear import linear_scores


class OnlineProbe(L.Callback):
    """Every n epochs, classify the held-out images by the features of the frozen encoder; log the top-1 accuracies.

    Features come from whole, un-augmented images in eval mode, and the probe has its own optimiser and random stream: the weights
    that training yields are bit-identical with and without it.

    Args:
        pool: (B, 1 + L, D) -> (B, D), what stands for an image.
        every_n_epochs: how often; also after the last epoch, and before the first for comparison.
        k: neighbours that vote.
        temperature: of their votes.
        linear_epochs: epochs of the linear probe; 0 leaves it out.
    """

    def __init__(
        self, pool: nn.Module, every_n_epochs: int, k: int = 20, temperature: float = 0.07, linear_epochs: int = 50
    ):
        self.pool, self.every_n_epochs = pool, every_n_epochs
        self.k, self.temperature, self.linear_epochs = k, temperature, linear_epochs

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
        with torch.random.fork_rng():
            bank, held_out = (
                extract(pl_module.model.encoder, self.pool, loader, prepare, autocast)
                for loader in (data.bank_dataloader(), data.val_dataloader())
            )

        def top1(scores: Tensor) -> float:
            return multiclass_accuracy(scores, held_out.label, data.num_classes, average="micro").item()

        found = {"knn/top1": top1(knn_scores(bank, held_out.feature, data.num_classes, self.k, self.temperature))}
        if self.linear_epochs:
            found["linear/top1"] = top1(linear_scores(bank, held_out.feature, data.num_classes, self.linear_epochs))
        return found
