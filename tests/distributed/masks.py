"""Write down which patches each image of each step hides, on each process."""

from typing import Any

import pytorch_lightning as L
import torch

from mim.run.results import Results


class Masks(L.Callback):
    """Masks by step, as `masks_<rank>.pt` beside the results: [(indices (B,), masked (B, K,
    Lm))].
    """

    def __init__(self) -> None:
        self.steps = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        split = pl_module.model.masker(batch, pl_module.model.encoder.geometry.grid)
        self.steps.append((batch.index, split.masked))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        (results,) = (callback for callback in trainer.callbacks if isinstance(callback, Results))
        torch.save(self.steps, results.folder / f"masks_{trainer.global_rank}.pt")
