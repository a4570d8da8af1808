"""Fine-tuning: train a pre-trained encoder, and a head on it, to tell classes apart."""

import inspect
from collections.abc import Callable
from typing import Protocol

from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from mim.batch import Batch
from mim.encoder.model import Model
from mim.model.classifier import Classifier
from mim.optim.layer_decay import LayerDecay
from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.ranges import NotNegative, Positive, Rate, Seed
from mim.run.training_data import data_of
from mim.train.clip import Clip
from mim.train.labelled import Labelled


class Mix(Protocol):
    """timm's `Mixup`."""

    mixup_alpha: float
    cutmix_alpha: float

    def __call__(self, image: Tensor, label: Tensor, /) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), labels (B,) -> mixed images, shares of the classes in each (B,
        classes).
        """


class Erase(Protocol):
    """timm's `RandomErasing`."""

    probability: float

    def __call__(self, image: Tensor, /) -> Tensor:
        """Images (B, 3, H, W) -> the same, some in part erased."""


class Finetune(Labelled):
    """Classification, from the encoder on; judged on the held-out images after every epoch.

    Args:
        model: builds the classifier once the data has said how many classes there are
            (`num_classes`).
        num_classes: of the data.
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate of the head for an effective batch of 256; its peak is
            `base_lr * effective_batch / 256`.
        weight_decay: of matrices; vectors and biases are not decayed.
        layer_decay: rate of each layer over that of the next one, down from the head.
        label_smoothing: share of the target that all classes divide evenly.
        mix: builds timm's `Mixup` (mixup and cutmix) from `num_classes` and `label_smoothing`; null
            for none.
        erase: builds timm's `RandomErasing` for a device; null for none. It sees normalised pixels.
        train_blocks: train the last so many blocks only, and what follows them; null for the whole
            encoder.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own.
        lr: the peak itself, whatever the batch; null for `base_lr`, which is not used otherwise.
        weight_decay_schedule: of the decay; null for one that stays.
        clip: cuts gradients down once a step; null for none but the trainer's `gradient_clip_val`.

    Raises:
        ValueError: where the data has no two classes.
    """

    learns_from = "classes"
    model: Classifier

    def __init__(
        self,
        model: Callable[..., Classifier],
        num_classes: int,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        base_lr: Positive,
        weight_decay: NotNegative,
        layer_decay: LayerDecay = 1.0,
        label_smoothing: Rate = 0.0,
        mix: Callable[..., Mix] | None = None,
        erase: Callable[..., Erase] | None = None,
        train_blocks: int | None = None,
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
            has = "one class only" if num_classes else "no labels"
            raise ValueError(
                f"fine-tuning needs classes to tell apart, and the data set has {has}; choose a "
                "labelled one, e.g. "
                "data=cifar10, or pictures in one folder for each class, two at least"
            )
        if not takes_classes(model):
            raise ValueError(
                "task=finetune trains a classifier, and the model that is chosen is none; use "
                "model=classifier"
            )
        self.model = model(num_classes=num_classes)
        if train_blocks is not None:
            self.model.freeze(train_blocks)
        self.layer_decay, self.label_smoothing, self.erase = layer_decay, label_smoothing, erase
        self.mix = mix(num_classes=num_classes, label_smoothing=label_smoothing) if mix else None
        told = [k for k in (1, 5) if k < num_classes]
        self.accuracy = MetricCollection(
            {f"val/top{k}": MulticlassAccuracy(num_classes, top_k=k, average="micro") for k in told}
        )
        self.held_out_loss = MeanMetric()

    def objective(self, batch: Batch, target: Tensor) -> Tensor:
        """Images (B, 3, H, W), labels (B,) or the shares of the classes (B, classes) -> scalar
        loss.
        """
        # Shares have been smoothed when they were made.
        smoothing = 0.0 if target.is_floating_point() else self.label_smoothing
        return cross_entropy(self.model(batch), target, label_smoothing=smoothing)

    def forward(self, batch: Batch) -> Tensor:
        """Images (B, 3, H, W) -> class scores before the softmax (B, classes)."""
        return self.model(batch)

    def on_fit_start(self) -> None:
        """Compile; erase where the images are.

        Raises:
            ValueError: where images cannot be mixed in pairs, or are not to be mixed at all.
        """
        size, mix = data_of(self.trainer).batch_size, self.mix
        if mix and size % 2:
            raise ValueError(
                f"images are mixed in pairs, and data.batch_size={size} is odd; try "
                f"data.batch_size={size + 1}"
            )
        if mix and not mix.mixup_alpha and not mix.cutmix_alpha:
            raise ValueError(
                "task.mix has mixup_alpha=0 and cutmix_alpha=0, which leaves nothing to mix; use "
                "task.mix=null"
            )
        super().on_fit_start()
        self._erase = self.erase(device=self.device) if self.erase else None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on images (B, 3, H, W) -> scalar loss."""
        image, target = batch.image, batch.label
        if self._erase:
            image = self._erase(image)
        if self.mix:
            image, target = self.mix(image, target)
        loss = self.objective(batch.with_image(image), target)
        self.log("train/loss", loss, batch_size=len(image), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge held-out images (B, 3, H, W), each once over all processes."""
        score = self.model(batch)
        self.accuracy.update(score, batch.label)
        self.held_out_loss.update(cross_entropy(score, batch.label, reduction="none"))

    def on_validation_epoch_end(self) -> None:
        """Log the accuracies, the best so far, and the loss without smoothing."""
        accuracy, loss = self.accuracy.compute(), self.held_out_loss.compute()
        self.accuracy.reset()
        self.held_out_loss.reset()
        self.best = max(self.best, accuracy["val/top1"].item())
        # The metrics have looked at all processes already, so these are equal; Lightning cannot
        # know.
        self.log_dict(accuracy | {"val/loss": loss, "val/top1_best": self.best}, sync_dist=True)

    @property
    def targets(self) -> str:
        """What is done to images and labels, in words."""
        mix = self.mix
        mixed = (
            f"mixup {mix.mixup_alpha:g} and cutmix {mix.cutmix_alpha:g}"
            if mix
            else "images not mixed"
        )
        erased = (
            f"{self._erase.probability:.0%} of images erased in part"
            if self._erase
            else "none erased"
        )
        return f"label smoothing {self.label_smoothing:g}, {mixed}, {erased}"


def takes_classes(model: Callable[..., Model]) -> bool:
    """Whether a model can be told how many classes there are."""
    return "num_classes" in inspect.signature(model).parameters
