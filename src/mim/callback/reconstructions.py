"""Pictures of what the model makes of held-out images while it learns."""

from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from torch import Tensor, nn

from mim.analysis.pictures import figure, panels
from mim.batch import Batch
from mim.masker.split import Split


class Reconstructions(L.Callback):
    """Every n epochs, draw the first held-out images: image, masked image, prediction, prediction with the visible patches.

    Normalised predictions are shown with each patch's own mean and deviation put back. The images are masked alike each time.

    Args:
        folder: where the pictures go, as `reconstruction_<epoch>.png`.
        every_n_epochs: how often; also after the last epoch.
        count: how many images.
    """

    def __init__(self, folder: str, every_n_epochs: int, count: int = 8):
        self.folder, self.every_n_epochs, self.count = Path(folder), every_n_epochs, count

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Draw, on one process."""
        epoch = trainer.current_epoch + 1
        due = epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs
        if due and trainer.is_global_zero and painter(pl_module.loss) is not None:
            self.draw(trainer, pl_module, epoch)

    def draw(self, trainer: Any, pl_module: Any, epoch: int) -> Path:
        """Write the picture, hand it to the loggers that take pictures, and return its path."""
        data: Any = trainer.datamodule
        batch = self._held_out(trainer, pl_module)
        mean, std = (torch.tensor(v, device=batch.image.device).view(3, 1, 1) for v in (data.mean, data.std))
        with torch.random.fork_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            pl_module.model.eval()
            prediction, split = pl_module.model(batch)
            pl_module.model.train()
        loss = painter(pl_module.loss)
        pixels = loss.pixels(prediction.float(), batch.image, split.masked)[:, 0]  # the first of K parts
        rows = panels(batch.image * std + mean, _shown(pixels, data), _first(split), loss.patch_size)
        value = trainer.callback_metrics.get("train/loss")
        title = f"epoch {epoch}" + ("" if value is None else f", training loss {float(value):.4f}")

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"reconstruction_{epoch:04d}.png"
        figure(rows, title).savefig(path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("reconstruction", [str(path)], step=trainer.global_step)
        return path

    def _held_out(self, trainer: Any, pl_module: Any) -> Batch:
        batch = next(iter(trainer.datamodule.val_dataloader()))
        few = Batch(*(column[: self.count] for column in batch))
        return trainer.strategy.batch_to_device(few, pl_module.device)


def painter(loss: nn.Module) -> Any:
    """The loss, or the term of a sum, that can show predictions as pixels; None where none can."""
    return next((part for part in loss.modules() if hasattr(part, "pixels")), None)


def _first(split: Split) -> Split:
    parts: Any = (None if part is None else part[:, :1] for part in split)
    return Split(*parts)


def _shown(pixels: Tensor, data: Any) -> Tensor:
    """Normalised pixels (B, M, P), channels last in each patch -> [0, 1]."""
    channels = pixels.unflatten(-1, (-1, 3))
    return (channels * channels.new_tensor(data.std) + channels.new_tensor(data.mean)).flatten(-2)
