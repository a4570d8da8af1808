"""Ctrl-C, SIGTERM and SIGUSR1: finish the step, save, stop."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as L
import torch

from mim.launch.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interruption(L.Callback):
    """Turn a signal into a checkpoint that resumes exactly. A second Ctrl-C stops at once.

    Args:
        checkpoint: file to write.
        agree_every_n_steps: how often several processes ask each other whether one of them was told to stop.
    """

    def __init__(self, checkpoint: str, agree_every_n_steps: int = 10):
        self.checkpoint, self.agree_every_n_steps = Path(checkpoint), agree_every_n_steps
        self._received: int = 0
        self._stopped: Interrupted | None = None
        self._before: dict[int, Any] = {}

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self._received and signum == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = signum

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen."""
        self._received = 0
        self._before = {signum: signal.signal(signum, self._receive) for signum in SIGNALS}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a signal came, on any process."""
        signum = self._received
        if trainer.world_size > 1:
            if batch_idx % self.agree_every_n_steps:
                return
            signum = int(trainer.strategy.reduce(torch.tensor(signum, device=pl_module.device), reduce_op="max"))
        if signum:
            trainer.save_checkpoint(self.checkpoint)
            self._stopped = Interrupted(signal.Signals(signum).name, f"continue with resume={self.checkpoint}")

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Stop, now that the loggers have what the saved step said.

        Raises:
            Interrupted: everything is saved.
        """
        if self._stopped:
            raise self._stopped

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop, if the saved step was the last of its epoch.

        Raises:
            Interrupted: everything is saved.
        """
        if self._stopped:
            raise self._stopped

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Hear signals as before."""
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Hear signals as before."""
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}
