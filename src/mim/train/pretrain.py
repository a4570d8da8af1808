"""Pre-training: hide patches, predict them. One optimisation step ties model, masker and loss
together and knows no paper.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pytorch_lightning.utilities.types import OptimizerLRScheduler
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn
from torch.optim import Optimizer

from mim.batch import Batch
from mim.encoder.model import Model
from mim.loss.across_views import AcrossViews, SeesViews
from mim.loss.weighted_sum import WeightedSum
from mim.loss.weights import NamedTerms
from mim.model.mae import MAE
from mim.model.reconstruction import Compares, Reconstruction
from mim.optim.number import NumberSchedule
from mim.optim.schedule import Schedule
from mim.optim.to_start import DecayToStart
from mim.ranges import NotNegative, Positive, Seed
from mim.teacher.average import Average
from mim.teacher.views import ViewsEMA
from mim.train.clip import Clip
from mim.train.resolution import Resolution
from mim.train.scheduled import follow_schedules
from mim.train.training import Training
from mim.views import Shown

Made = Reconstruction | Shown
"""Predictions of masked patches, or what a student makes of several views."""


class Pretrain(Training):
    """Masked image modelling.

    Args:
        model: builds the network; it asks the loss how many values per patch each term predicts
            (`target_dims`), of images as its encoder sees them.
        loss: a term, or a sum of them.
        optimizer: builds the optimiser from parameter groups.
        schedule: share of the peak learning rate at (epoch, epochs, peak).
        base_lr: learning rate for an effective batch of 256; the peak is
            `base_lr * effective_batch / 256`.
        weight_decay: of matrices; vectors and biases are not decayed.
        compile: compile the step into one graph.
        seed: of everything random in a step that has no key of its own (stochastic depth).
        lr: the peak itself, whatever the batch; null for `base_lr`, which is not used otherwise.
        weight_decay_schedule: of the decay; null for one that stays.
        clip: cuts gradients down once a step; null for none but the trainer's `gradient_clip_val`.
        teacher: builds what follows the model, for targets that are made of its tokens; null for
            none.
        decay_to_start: of the encoder, towards the weights that the training begins from, in place
            of `weight_decay` (`mim.optim.to_start`); 0 for none.
        decayed: `matrices` alone, or `all` that is trained, biases, norms and tokens as well (MoCo
            v3's release).
        resolution: makes the images of a step smaller, as it goes on less so; null for full size.

    Raises:
        ValueError: where a target has no teacher, a teacher nobody looks at, or loss and model
            compare different things.
    """

    loss: NamedTerms

    def __init__(
        self,
        model: Callable[..., Model],
        loss: nn.Module,
        optimizer: Callable[..., Optimizer],
        schedule: Schedule,
        base_lr: Positive,
        weight_decay: NotNegative,
        compile: bool = False,
        seed: Seed = 0,
        lr: Positive | None = None,
        weight_decay_schedule: NumberSchedule | None = None,
        clip: Clip | None = None,
        teacher: Callable[[nn.Module], Average] | None = None,
        decayed: Literal["matrices", "all"] = "matrices",
        decay_to_start: NotNegative = 0.0,
        resolution: Resolution | None = None,
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
        self.decayed = decayed
        self.loss = loss if isinstance(loss, AcrossViews) else WeightedSum.of_one(loss)
        self.model = model(target_dims=self.loss.fit)
        if isinstance(self.loss, AcrossViews) and not isinstance(self.model, SeesViews):
            raise ValueError(
                f"the loss compares views of an image, and {type(self.model).__name__} predicts "
                "patches; take model=ibot, "
                "or loss=pixel"
            )
        self._check_compared()
        self.teacher = self._taught(teacher)
        self.start = DecayToStart(self.model, decay_to_start) if decay_to_start else None
        self.resolution = self._resized(resolution)

    def _taught(self, teacher: Callable[[nn.Module], Average] | None) -> Average | None:
        """What follows the model, once it is known that somebody looks at it."""
        if isinstance(self.loss, AcrossViews) and teacher is None:
            raise ValueError(
                "the loss compares views with what a teacher makes of them, and there is no "
                "teacher; add teacher=views"
            )
        if self.loss.needs_teacher and teacher is None:
            raise ValueError(
                "the loss compares predictions with a teacher's tokens, and there is no teacher; "
                "add teacher=ema, or "
                "choose a target of the image, e.g. target@loss.target=pixel"
            )
        if teacher is not None and not self.loss.needs_teacher:
            raise ValueError(
                "teacher=ema would follow the model and nothing looks at it; choose "
                "target@loss.target=features, or "
                "leave it out (callback=[weight_average,...] keeps an average to judge)"
            )
        if teacher is None:
            return None
        taught, across = teacher(self.model), isinstance(self.loss, AcrossViews)
        if across != isinstance(taught, ViewsEMA):
            wanted = (
                "views, and needs teacher=views" if across else "patches, and needs teacher=ema"
            )
            raise ValueError(f"the loss compares {wanted}; the teacher is {type(taught).__name__}")
        for name, through in self.loss.compared.items():
            if through not in taught.of:
                raise ValueError(
                    f"loss.term.{name} projects the teacher's view through {through}, which it "
                    "does not average; "
                    f"teacher.of=[encoder,{through}], or teacher=ema_projector"
                )
        return taught

    def _resized(self, resolution: Resolution | None) -> Resolution | None:
        """What makes images smaller, once it is known that model and loss can look at such."""
        if resolution is None:
            return None
        if type(self.model) is not MAE or self.teacher is not None or self.loss.compared:
            raise ValueError(
                f"resolution= makes images smaller, which {type(self.model).__name__} with this "
                "loss does not take; it goes with model=mae and a target of the image, "
                "e.g. loss=pixel"
            )
        resolution.check_geometry(self.model.encoder.geometry)
        return resolution

    def _check_compared(self) -> None:
        """Refuse a loss that compares images by vectors that the model does not make, or makes for
        nothing.
        """
        made = self.model.compared if isinstance(self.model, Compares) else ()
        if set(made) != set(self.loss.compared):
            wanted, given = (", ".join(names) or "none" for names in (self.loss.compared, made))
            raise ValueError(
                f"the loss compares whole images in {wanted} of its terms, and "
                f"{type(self.model).__name__} makes vectors of "
                f"them for {given}; model=cmae goes with loss=cmae"
            )

    def objective(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Made]:
        """Images (B, C, H, W) -> scalar loss, its terms by name where there are several, and the
        predictions it judged.
        """
        terms, made = self.loss.of_step(self.model, batch, self.teacher)
        named = {name: term.detach() for name, term in terms.items()} if len(terms) > 1 else {}
        return self.loss.weigh(terms), named, made

    def forward(self, batch: Batch) -> Made:
        """Images (B, C, H, W) -> predictions (B, K, Lm, P), or what is made of views."""
        return self.model(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step on images (B, C, H, W) -> scalar loss."""
        if self.resolution is not None:
            batch = self.resolution(batch)
        loss, terms, _ = self.objective(batch)
        named = {"train/loss": loss} | {f"train/{name}": term for name, term in terms.items()}
        self.log_dict(named, batch_size=len(batch.image), sync_dist=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Decay all, or matrices only (timm's groups), but for those that the model names; follow
        the schedule per step.
        """
        undecayed = [f"model.{name}" for name in self.model.no_weight_decay()]
        undecayed += [f"loss.{name}" for name in self.loss.no_weight_decay()]
        if self.decayed == "all":
            undecayed = []
        if self.start is not None:
            undecayed += [
                f"model.encoder.{name}" for name, _ in self.model.encoder.named_parameters()
            ]
        optimizer = self.optimizer(self._groups(set(undecayed)), lr=self.lr)
        if self.start is not None:
            self.start.pull_after_steps(self.model, optimizer)
        return follow_schedules(self, optimizer)

    def _groups(self, undecayed: set[str]) -> Sequence[Mapping[str, object]]:
        """What is trained, in groups of one weight decay."""
        if self.decayed == "matrices":
            return param_groups_weight_decay(
                self, self.weight_decay, no_weight_decay_list=undecayed
            )
        trained = [(name, p) for name, p in self.named_parameters() if p.requires_grad]
        rest = [p for name, p in trained if name in undecayed]
        groups = [
            {
                "params": [p for name, p in trained if name not in undecayed],
                "weight_decay": self.weight_decay,
            }
        ]
        return [*groups, *([{"params": rest, "weight_decay": 0.0}] if rest else [])]
