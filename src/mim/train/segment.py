"""Segmentation: train a pre-trained encoder, and a head on it, to give every pixel a class."""

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassJaccardIndex

from mim.dense import IGNORE, DenseBatch
from mim.head.segmenter import Segmenter
from mim.optim.layer_decay import LayerDecay
from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.ranges import NotNegative, Positive, Seed
from mim.train.clip import Clip
from mim.train.labelled import Dense


class Segment(Dense):
    """Segmentation, from the encoder on; judged on the held-out images after every epoch.

    Args:
        model: builds the segmenter once the data has said how many classes there are
            (`num_classes`).
        num_classes: of the data.
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate of the head for an effective batch of 256; its peak is
            `base_lr * effective_batch / 256`.
        weight_decay: of matrices; vectors and biases are not decayed.
        layer_decay: rate of each layer over that of the next one, down from the head.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own.
        lr: the peak itself, whatever the batch; null for `base_lr`, which is not used otherwise.
        weight_decay_schedule: of the decay; null for one that stays.
        clip: cuts gradients down once a step; null for none but the trainer's `gradient_clip_val`.

    Raises:
        ValueError: where the data has no two classes.
    """

    learns_from = "label_maps"
    model: Segmenter

    def __init__(
        self,
        model: Callable[..., Segmenter],
        num_classes: int,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        base_lr: Positive,
        weight_decay: NotNegative,
        layer_decay: LayerDecay = 1.0,
        compile: bool = False,
        seed: Seed = 0,
        lr: Positive | None = None,
        weight_decay_schedule: NumberSchedule | None = None,
        clip: Clip | None = None,
    ):
        super().__init__(
            optimizer,
            schedule,
            base_lr,
            weight_decay,
            compile,
            seed,
            lr,
            weight_decay_schedule,
            clip,
        )
        if num_classes < 2:
            raise ValueError(
                "segmentation tells two classes of pixels apart at least, and the data set has "
                f"{num_classes}"
            )
        self.model = model(num_classes=num_classes)
        self.layer_decay = layer_decay
        self.overlap = MulticlassJaccardIndex(num_classes, ignore_index=IGNORE)

    def forward(self, batch: DenseBatch) -> Tensor:
        """Images (B, 3, H, W) -> class scores of coarser pixels (B, classes, h, w)."""
        return self.model(batch.image)

    def validation_step(self, batch: DenseBatch, batch_idx: int) -> None:
        """Judge held-out images (B, 3, H, W), each once over all processes, by windows where they
        are large.
        """
        self.overlap.update(self.model.segment(batch.image).argmax(dim=1), batch.label_map.long())

    def on_validation_epoch_end(self) -> None:
        """Log the mean overlap of the classes, and the best so far."""
        overlap = self.overlap.compute()
        self.overlap.reset()
        self.best = max(self.best, overlap.item())
        # The metric has looked at all processes already, so these are equal; Lightning cannot know.
        self.log_dict({"val/miou": overlap, "val/miou_best": self.best}, sync_dist=True)
