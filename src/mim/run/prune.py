"""End a job of a study early where its online k-NN shows that it will not win."""

from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch

from mim.launch.errors import Pruned
from mim.ranges import Count
from mim.run.insides import trial_by_number


class Prune(L.Callback):
    """Tell the study each time that features are judged; stop if its pruner says so.

    Args:
        study: file of the study, which the sweep keeps in its folder.
        trial: this job's number in it; null outside a study, where nothing happens.
        metric: what is reported; where a study has several aims, Optuna does not prune.
        every_n_epochs: how often it is measured.
        pruner: decides, an Optuna pruner.
    """

    def __init__(
        self,
        study: str,
        trial: int | None,
        metric: str | list[str],
        every_n_epochs: Count,
        pruner: Any = None,
    ):
        self.study, self.number, self.metric = Path(study), trial, metric
        self.every_n_epochs, self.pruner = every_n_epochs, pruner

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the study, on one process."""
        self.trial = None
        if self.number is not None and isinstance(self.metric, str) and trainer.is_global_zero:
            import optuna
            from optuna.storages.journal import JournalFileBackend

            storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.study)))
            study = optuna.load_study(study_name="sweep", storage=storage, pruner=self.pruner)
            self.trial = trial_by_number(study, self.number)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report what the epoch before came to.

        Raises:
            Pruned: it is not worth going on.
        """
        epoch, value = trainer.current_epoch, trainer.callback_metrics.get(str(self.metric))
        if value is None or epoch == 0 or epoch % self.every_n_epochs:
            return
        hopeless = False
        if self.trial is not None:
            self.trial.report(float(value), epoch)
            hopeless = self.trial.should_prune()
        if trainer.world_size > 1:
            hopeless = bool(
                trainer.strategy.reduce(
                    torch.tensor(int(hopeless), device=pl_module.device), reduce_op="max"
                )
            )
        if hopeless:
            raise Pruned(
                f"stopped early: {self.metric} {float(value):.4f} after {epoch} epochs is not "
                "worth going on"
            )
