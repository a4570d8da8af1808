"""Pictures of what the model makes of held-out images while it learns."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as L
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mim.analysis.drawn_channels import as_colours, patches_as_colours
from mim.batch import Batch
from mim.logger.image_logger import log_image
from mim.loss.term import Term
from mim.loss.weights import NamedTerms
from mim.ranges import Count, NonNegativeInt
from mim.run.training_data import TrainingData, data_of
from mim.strategy.sharding import unsharded
from mim.target.target import Paintable
from mim.train.training import Training


class Reconstructions(L.Callback):
    """Every n epochs, draw what the model makes of the first held-out images.

    Normalised predictions are shown with each patch's own mean and deviation put back. The images
    are masked alike each time.

    Args:
        folder: where the pictures go, as `<name>_<epoch>.png`.
        sheet: draws images (B, 3, H, W), predictions (B, K, Lm, P), both in [0, 1], their split and
            patch size, under a title.
        every_n_epochs: how often; also after the last epoch.
        count: how many images.
        name: of the pictures.
        comparison: draws the same of several predictions, by name, on one figure, `<name>.png`:
            those of the untrained model, which is then drawn as epoch 0, and the latest ones. Null
            for none.
        channels: numbers of the three that are drawn as red, green and blue, from 0, or of one,
            drawn grey; null for the first.
    """

    def __init__(
        self,
        folder: str,
        sheet: Callable[..., Figure],
        every_n_epochs: Count,
        count: Count = 8,
        name: str = "reconstruction",
        comparison: Callable[..., Figure] | None = None,
        channels: list[NonNegativeInt] | None = None,
    ):
        self.folder, self.every_n_epochs, self.count = Path(folder), every_n_epochs, count
        self.sheet, self.name, self.comparison, self.channels = sheet, name, comparison, channels
        # what the untrained model predicted, on the process that draws
        self.untrained: Tensor | None = None

    @property
    def state_key(self) -> str:
        """A run may draw several kinds of pictures."""
        return f"{type(self).__name__}[{self.name}]"

    def state_dict(self) -> dict[str, Tensor]:
        """A resumed run can still be compared with its beginning."""
        return {} if self.untrained is None else {"untrained": self.untrained}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Take over what the untrained model predicted."""
        self.untrained = state_dict.get("untrained")

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Draw what an untrained model makes of the images, if that is wanted; not where training
        is being resumed.
        """
        if self.comparison and trainer.global_step == 0:
            self.draw(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Draw, on one process."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            self.draw(trainer, pl_module, epoch)

    def draw(self, trainer: L.Trainer, pl_module: Training, epoch: int) -> None:
        """Write the picture, on one process, and hand it to the loggers that take pictures."""
        # fine-tuning reconstructs nothing
        shown = painter(pl_module.loss) if pl_module.loss else None
        if shown is None:
            return
        # Asked on all processes: what was just logged is averaged over them.
        loss = trainer.callback_metrics.get("train/loss")
        with unsharded(pl_module.model):
            if trainer.is_global_zero:
                self._draw(trainer, pl_module, *shown, epoch, loss)

    def _draw(
        self,
        trainer: L.Trainer,
        pl_module: Training,
        term: str,
        target: Paintable,
        epoch: int,
        loss: Tensor | None,
    ) -> None:
        data = data_of(trainer)
        batch = self._held_out(trainer, pl_module)
        mean, std = (
            torch.tensor(v, device=batch.image.device).view(-1, 1, 1) for v in (data.mean, data.std)
        )
        with torch.random.fork_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
            pl_module.model.eval()
            made = pl_module.model(batch)
            pl_module.model.train()
        split, prediction = made.split, made.predictions[term].float()
        pixels = _shown(target.to_pixels(prediction, batch.image, split.masked), data)
        pixels = patches_as_colours(pixels, target.geometry.channels, self.channels)
        title = f"epoch {epoch}" + ("" if loss is None else f", training loss {float(loss):.4f}")

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}_{epoch:04d}.png"
        image = as_colours(batch.image * std + mean, self.channels)
        self.sheet(image, pixels, split, target.geometry.patch_size, title).savefig(path)
        if self.comparison and epoch == 0:
            self.untrained = pixels.half().cpu()
        elif self.comparison and self.untrained is not None:
            latest = {
                "before\ntraining": self.untrained.to(pixels),
                f"after\n{epoch} epochs": pixels,
            }
            self.comparison(image, latest, split, target.geometry.patch_size).savefig(
                self.folder / f"{self.name}.png"
            )
        log_image(trainer.loggers, self.name, path, trainer.global_step)

    def _held_out(self, trainer: L.Trainer, pl_module: Training) -> Batch:
        batch = next(iter(data_of(trainer).val_dataloader()))
        few = batch.some(slice(self.count))
        return trainer.strategy.batch_to_device(few, pl_module.device)


def painter(loss: NamedTerms) -> tuple[str, Paintable] | None:
    """First term whose target can show predictions as pixels: its name and the target; None where
    there is none.
    """
    targets = ((name, term.target) for name, term in loss.term.items() if isinstance(term, Term))
    return next(((name, target) for name, target in targets if isinstance(target, Paintable)), None)


def _shown(pixels: Tensor, data: TrainingData) -> Tensor:
    """Normalised pixels (..., P), channels last in each patch -> [0, 1]."""
    channels = pixels.unflatten(-1, (-1, len(data.mean)))
    return (channels * channels.new_tensor(data.std) + channels.new_tensor(data.mean)).flatten(-2)
