"""Say once, before training, what took effect."""

import pytorch_lightning as L
import torch
from rich.console import Console
from timm.layers import DropPath
from torch import nn

from mim.batch import blank
from mim.encoder.encoder import Encoder
from mim.masker.any_masker import AnyMasker
from mim.masker.scheduled import Scheduled
from mim.model.ibot import IBOT
from mim.model.masked_model import MaskedModel
from mim.model.visible import split_of
from mim.optim.follow import Follow
from mim.optim.number import describe_number, described_schedules
from mim.run.results import seen_from_here
from mim.run.training_data import data_of
from mim.strategy.sharding import unsharded
from mim.teacher.average import Average
from mim.train.training import Training


class Announce(L.Callback):
    """A few lines that are read off the built objects, not off the config: a setting that does
    nothing is seen here.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: str):
        self.run = run

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Print on one process."""
        with unsharded(pl_module.model):
            if trainer.is_global_zero:
                console = Console(highlight=False, soft_wrap=True)
                for name, text in self.lines(trainer, pl_module).items():
                    console.print(f"[bold]{name:<14}[/bold]{text}")

    def lines(self, trainer: L.Trainer, pl_module: Training) -> dict[str, str]:
        """What is said, by subject."""
        model, data = pl_module.model, data_of(trainer)
        masker = model.masker if isinstance(model, MaskedModel | IBOT) else None
        return {
            "model": _model(pl_module),
            **data.words,
            **({"masking": _masking(model.encoder, masker, pl_module.device)} if masker else {}),
            **({"changing": changing} if (changing := _changing(pl_module)) else {}),
            **({"teacher": _teacher(pl_module.teacher, pl_module)} if pl_module.teacher else {}),
            **({"targets": pl_module.targets} if pl_module.targets else {}),
            "batch": (
                f"{pl_module.effective_batch:,} images a step = {data.batch_size:,} x "
                f"{trainer.world_size} process(es) "
                f"x {trainer.accumulate_grad_batches} accumulated"
            ),
            "training": (
                f"{trainer.max_epochs:,} epochs of {data.steps_per_epoch:,} steps, "
                f"{pl_module.length:,} steps in all, precision {trainer.precision}, on "
                f"{pl_module.device}"
                + (f", {type(trainer.strategy).__name__}" if trainer.world_size > 1 else "")
            ),
            "learning rate": f"peak {_peak(pl_module)}, "
            f"{_ends(trainer, pl_module)}{_layers(trainer)}",
            "weight decay": _decay(pl_module),
            **({"clipping": clipped} if (clipped := _clipping(pl_module)) else {}),
            "drop path": _drop_path(model),
            "run": str(seen_from_here(self.run)),
        }


def _model(module: Training) -> str:
    count = sum(p.numel() for p in module.parameters())
    trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    encoder = module.model.encoder
    inside = sum(p.numel() for p in encoder.parameters())
    kind = ", ".join(type(part).__name__.removeprefix("FSDP") for part in (module.model, encoder))
    return f"{kind}: {count:,} parameters, {trained:,} trained, {inside:,} in the encoder"


def _changing(module: Training) -> str:
    return ", ".join(
        described_schedules(module.parts, module.length, module.progress.steps_per_epoch)
    )


def _teacher(teacher: Average, module: Training) -> str:
    momentum = describe_number(teacher.momentum, module.length, module.progress.steps_per_epoch)
    return f"average of the student's {' and '.join(teacher.of)}, momentum {momentum}"


def _masking(encoder: Encoder, masker: AnyMasker, device: torch.device) -> str:
    if not isinstance(masker, Scheduled):
        return _masked(encoder, masker, device)
    first, then = (_masked(encoder, each, device) for each in (masker.first, masker.then))
    return f"{first}; from epoch {masker.at_epoch + 1} on {then}" if masker.at_epoch else then


@torch.no_grad()
def _masked(encoder: Encoder, masker: AnyMasker, device: torch.device) -> str:
    patches = encoder.geometry.patches
    split = split_of(
        encoder, masker, blank(2, encoder.geometry.image_size, device, encoder.geometry.channels)
    )
    parts, visible = split.visible.shape[1:]
    masked = split.masked.shape[2]
    kind = masker.kind + (f", {parts} parts" if parts > 1 else "")
    thrown = max(0, patches - visible - masked) if parts == 1 else 0
    most = "" if split.visible_valid is None else "up to "
    return (
        f"{kind}: of {patches} patches {most}{visible} visible, {most}{masked} masked, {thrown} "
        "thrown"
    )


def _peak(module: Training) -> str:
    if module.absolute_lr:
        return f"{module.lr:.3g} (lr; base_lr is not used)"
    return f"{module.lr:.3g} = {module.base_lr:.3g} x {module.effective_batch:,} / 256"


def _ends(trainer: L.Trainer, module: Training) -> str:
    follow = trainer.lr_scheduler_configs[0].scheduler
    assert isinstance(follow, Follow)  # as a training configures it
    first, last = (max(follow.rates(step)) for step in (0, module.length - 1))
    return type(module.schedule).__name__ + (
        f" from {first:.3g} to {last:.3g}" if first != last else ""
    )


def _clipping(module: Training) -> str:
    if module.clip:
        return f"{type(module.clip).__name__} to a norm of {module.clip.max_norm:g}"
    most = module.trainer.gradient_clip_val
    return f"all gradients together to a norm of {most:g}" if most else ""


def _decay(module: Training) -> str:
    count: dict[float, int] = {}
    for group in module.trainer.optimizers[0].param_groups:
        count[group["weight_decay"]] = count.get(group["weight_decay"], 0) + len(group["params"])
    change = module.weight_decay_schedule
    to = (
        f"; {describe_number(change, module.length, module.progress.steps_per_epoch)}"
        if change
        else ""
    )
    return (
        ", ".join(f"{decay:g} on {number} parameters" for decay, number in sorted(count.items()))
        + to
    )


def _layers(trainer: L.Trainer) -> str:
    rates = {group["initial_lr"] for group in trainer.optimizers[0].param_groups}
    return f", in {len(rates)} layers down to {min(rates):.3g}" if len(rates) > 1 else ""


def _drop_path(model: nn.Module) -> str:
    rates = [m.drop_prob for m in model.modules() if isinstance(m, DropPath) and m.drop_prob]
    return f"up to {max(rates):g}, active in {len(rates)} places" if rates else "none"
