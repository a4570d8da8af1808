"""What a run leaves: `results.json` at its end, however it ends."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytorch_lightning as L
import torch
from omegaconf import OmegaConf
from pytorch_lightning.utilities.types import STEP_OUTPUT
from rich.console import Console
from torch import Tensor

from mim.analysis.cost import peak_memory
from mim.batch import Batch
from mim.evaluate.metrics import wilson
from mim.launch.errors import Interrupted, Pruned
from mim.launch.provenance import provenance
from mim.logger.csv import CSV
from mim.plain import Settings, no_link, settings_of
from mim.run.insides import is_within_step, metrics_known_here, said_of_step
from mim.run.training_data import data_of

_PRINTED = (  # metric, its title, and the metric beside it with its own
    ("knn/top1", "k-NN top-1", "knn/top1_untrained", "untrained encoder"),
    ("linear/top1", "linear top-1", "linear/top1_untrained", "untrained encoder"),
    ("val/top1", "top-1", "val/top1_best", "best epoch"),
)


class Results(L.Callback):
    """Write status, metrics, speed, memory, steps, wall time, parameters, versions, and what made
    them to `results.json`.

    Args:
        folder: the run's folder, which holds the resolved `config.yaml`.
        overrides: what the command line changed.
    """

    def __init__(self, folder: str, overrides: list[str]):
        self.folder, self.overrides = Path(folder), overrides
        self.started = time.monotonic()
        self._config: Settings = {}
        self._said: dict[str, float] = {}
        self._known: dict[str, float] = {}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Tell the loggers how this run is configured; the CSV logger's copy would be a second
        config.yaml.
        """
        self._config = settings_of(OmegaConf.load(self.folder / "config.yaml"))
        for logger in trainer.loggers:
            if not isinstance(logger, CSV):
                logger.log_hyperparams(self._config)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Tell the loggers what was measured before training; what an earlier attempt wrote about
        steps to come is void.
        """
        before = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for logger in trainer.loggers:
            if isinstance(logger, CSV):
                logger.begin_at(trainer.global_step, before, self._said)
            elif before and trainer.global_step == 0:
                logger.log_metrics(before, 0)
        known = {name: value for name, value in self._known.items() if name not in before}
        trainer.callback_metrics.update(
            {name: torch.tensor(value, dtype=torch.float64) for name, value in known.items()}
        )

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Remember what loggers are told about this step."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._said = _said(trainer)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: Settings
    ) -> None:
        """A checkpoint says how its model was built, and what loggers are told about its step once
        it is written.
        """
        checkpoint["config"] = self._config
        checkpoint["said"] = _said(trainer) if is_within_step(trainer) else self._said
        checkpoint["known"] = {
            name: float(value) for name, value in trainer.callback_metrics.items()
        }

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: Settings
    ) -> None:
        """Take up what the checkpoint says of its step, which a run that was killed may not have
        logged; and the last metrics, for a resumed run that has no step left.
        """
        self._said, self._known = checkpoint.get("said", {}), checkpoint.get("known", {})

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the results of a finished run, and print what matters most of them."""
        # asked on all processes: to sum one up they may have to meet
        metrics = _numbers(trainer.callback_metrics)
        self._write(trainer, pl_module, "finished", metrics)
        if trainer.is_global_zero:
            self._say(metrics)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The run stopped early; what several processes have not summed up yet is left out: they
        may not be there any more.
        """
        metrics = metrics_known_here(trainer)
        kinds = {Interrupted: "interrupted", KeyboardInterrupt: "interrupted", Pruned: "pruned"}
        with suppress(OSError):  # a full disk: what stopped the run is what is to be said
            self._write(trainer, pl_module, kinds.get(type(exception), "failed"), _numbers(metrics))

    def _write(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        status: str,
        metrics: dict[str, float],
    ) -> None:
        if not trainer.is_global_zero:
            return
        results = {
            "status": status,
            "metrics": metrics,
            "intervals": self._intervals(trainer, metrics),
            "images_per_second": metrics.get("throughput/images_per_second"),
            "peak_memory_bytes": peak_memory(pl_module.device),
            "steps": trainer.global_step,
            "epochs": trainer.current_epoch,
            "wall_seconds": time.monotonic() - self.started,
            "parameters": sum(p.numel() for p in pl_module.parameters()),
            "images_per_step": self._config.get("images_per_step"),
        }
        seed = self._config.get("seed", 0)
        results |= provenance(
            "train.py", self.overrides, seed, pl_module.device, trainer.world_size
        )
        self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        if self._config:  # a run may fail before it began
            OmegaConf.save(OmegaConf.create(self._config), no_link(self.folder / "config.yaml"))
        no_link(self.folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")

    def _intervals(self, trainer: L.Trainer, metrics: dict[str, float]) -> dict[str, list[float]]:
        """95 % intervals of the accuracies of fine-tuning on all held-out images."""
        data = data_of(trainer)
        shares = {
            name: share for name, share in metrics.items() if name in ("val/top1", "val/top5")
        }
        return {name: wilson(share, len(data.splits.val)) for name, share in shares.items()}

    def _say(self, numbers: dict[str, float]) -> None:
        console = Console(highlight=False, soft_wrap=True)
        for name, title, other, what in _PRINTED:
            if name in numbers:
                beside = f"  ({what}: {numbers[other]:.3f})" if other in numbers else ""
                console.print(f"{title:<14}[bold]{numbers[name]:.3f}[/bold]{beside}")
        console.print(f"{'run':<14}{seen_from_here(self.folder)}")
        for picture in sorted(
            self.folder.glob("pictures/*.png"), key=lambda path: (path.stat().st_mtime_ns, path)
        )[-1:]:
            console.print(f"{'picture':<14}{seen_from_here(picture)}")


def _numbers(metrics: Mapping[str, Tensor | float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def _said(trainer: L.Trainer) -> dict[str, float]:
    """What loggers are told about the step that ends, and its epoch; nothing at most steps."""
    said = said_of_step(trainer)
    return said | ({"epoch": trainer.current_epoch} if said else {})


def seen_from_here(path: str | Path) -> Path:
    """A path as seen from where the command was given."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
