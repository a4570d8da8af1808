"""Training with labels: what classes, label maps and objects have in common."""

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor

from mim.dense import DenseBatch
from mim.head.detector import Detector
from mim.head.segmenter import Segmenter
from mim.optim.layer_decay import Group, layer_decay_groups
from mim.part import Saved
from mim.train.scheduled import follow_schedules
from mim.train.training import Training


class Labelled(Training):
    """Training of an encoder and of a head on it, judged on the held-out images after every
    epoch.
    """

    learns_from: str
    """What of images: `classes`, `label_maps` or `objects`."""
    layer_decay: float
    """Rate of each layer over that of the next one, down from the head."""
    best: float = 0.0
    """Best judgement of an epoch so far."""

    def on_save_checkpoint(self, checkpoint: Saved) -> None:
        """A resumed run goes on with the best so far."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["best"] = self.best

    def on_load_checkpoint(self, checkpoint: Saved) -> None:
        """The best so far."""
        super().on_load_checkpoint(checkpoint)
        self.best = checkpoint["best"]

    def parameter_groups(self) -> list[Group]:
        """Groups of parameters by layer and decay, each with its own peak rate."""
        return layer_decay_groups(self.model, self.lr, self.weight_decay, self.layer_decay)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Each group follows the schedule per step."""
        return follow_schedules(self, self.optimizer(self.parameter_groups(), lr=self.lr))


class Dense(Labelled):
    """Training whose loss is the sum of parts that its model names."""

    model: Detector | Segmenter

    def objective(self, batch: DenseBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Images (B, 3, H, W) with dense labels -> scalar loss, and its parts."""
        losses = self.model.losses(batch)
        return sum(losses.values(), start=batch.image.new_zeros(())), losses

    def training_step(self, batch: DenseBatch, batch_idx: int) -> Tensor:
        """One step on images (B, 3, H, W) -> scalar loss; its parts are logged where there are
        several.
        """
        loss, losses = self.objective(batch)
        named = (
            {f"train/{name}": value.detach() for name, value in losses.items()}
            if len(losses) > 1
            else {}
        )
        self.log_dict({"train/loss": loss} | named, batch_size=len(batch.image), sync_dist=True)
        return loss
