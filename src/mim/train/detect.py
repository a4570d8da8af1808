"""Detection: train a pre-trained ViT as a Mask R-CNN (ViTDet, arXiv 2203.16527)."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer

from mim.dense import DenseBatch
from mim.head.average_precision import Detected, Judged
from mim.head.detector import Detector
from mim.optim.layer_decay import Group, LayerDecay
from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.optim.vitdet import vitdet_groups
from mim.ranges import NotNegative, Positive, Seed
from mim.run.training_data import data_of
from mim.train.clip import Clip
from mim.train.labelled import Dense

LOGGED = ("AP", "AP50", "AP75")


@runtime_checkable
class SceneData(Protocol):
    """Data with objects."""

    category_images: list[int] | None
    """In how many training pictures each category is, where the data set knows."""
    held_out_scenes: Judged


class Detect(Dense):
    """Detection and instance segmentation, from the encoder on; judged on the held-out images after
    every epoch.

    Args:
        model: builds the detector once the data has said how many categories there are
            (`num_classes`).
        num_classes: of the data.
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate of the heads for an effective batch of 256; its peak is
            `base_lr * effective_batch / 256`.
        weight_decay: of everything but positions and the ViT's norms, as ViTDet's release has it.
        layer_decay: rate of each layer over that of the next one, down from the heads.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own.
        lr: the peak itself, whatever the batch; null for `base_lr`, which is not used otherwise.
        weight_decay_schedule: of the decay; null for one that stays.
        clip: cuts gradients down once a step; null for none but the trainer's `gradient_clip_val`.

    Raises:
        ValueError: where the data has no category, or the step is to be compiled.
    """

    learns_from = "objects"
    model: Detector

    def __init__(
        self,
        model: Callable[..., Detector],
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
        if num_classes < 1:
            raise ValueError(
                "detection needs a category of objects at least, and the data set has none"
            )
        if compile:
            raise ValueError(
                "compile=true makes one graph of a step, and how many regions there are depends on "
                "the images; use compile=false"
            )
        self.model = model(num_classes=num_classes)
        self.layer_decay, self.num_classes = layer_decay, num_classes
        self.detected: Detected | None = None

    def setup(self, stage: str) -> None:
        """Tell a federated loss how many training pictures each category has, where the data
        knows.
        """
        super().setup(stage)
        federated = self.model.regions.federated
        if federated is not None:
            data = data_of(self.trainer)
            assert isinstance(data, SceneData)
            federated.images = data.category_images
            federated.prepare(self.num_classes)

    def forward(self, batch: DenseBatch) -> list[Tensor]:
        """Images (B, 3, H, W) -> levels of the pyramid."""
        return self.model(batch.image)

    def validation_step(self, batch: DenseBatch, batch_idx: int) -> None:
        """Detect in held-out images (B, 3, H, W), each once over all processes."""
        if self.detected is None:
            data = data_of(self.trainer)
            assert isinstance(data, SceneData)
            self.detected = Detected(data.held_out_scenes)
        self.detected.add(self.model.detect(batch.image, batch.size), batch)

    def on_validation_epoch_end(self) -> None:
        """Log average precision of boxes and masks, and the best of masks so far."""
        assert self.detected is not None
        row = self.detected.row()
        self.detected = None
        kinds = {"box": row["bbox"], "mask": row["segm"]}
        named = {
            f"val/{kind}_{name.lower()}": found[name] or 0.0
            for kind, found in kinds.items()
            for name in LOGGED
        }
        self.best = max(self.best, named["val/mask_ap"])
        self.log_dict(named | {"val/mask_ap_best": self.best}, sync_dist=True)

    def parameter_groups(self) -> list[Group]:
        """Groups by layer and decay, as ViTDet's release has them."""
        return vitdet_groups(self.model, self.lr, self.weight_decay, self.layer_decay)
