"""What a command builds, read off the built objects and not off its yaml, in the words of the
ledger.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mim.launch.processes import portion_of_step
from mim.masker.attention_store import AttentionStore
from mim.masker.scheduled import Scheduled
from mim.train.labelled import Dense
from tests.recipes.facts import CLASSES, Facts, named
from tests.recipes.of_encoder import encoder_facts
from tests.recipes.of_loss import loss_facts, teacher_facts
from tests.recipes.of_mask import mask_facts
from tests.recipes.of_model import classifier_facts, decoder_facts
from tests.recipes.views import views

IMAGES = 1_281_167  # of ImageNet

MOMENTS = ("first step", "in the warm-up", "after the warm-up", "half-way", "last step")


class Group(NamedTuple):
    """One parameter as the optimiser has it."""

    name: str
    dimensions: int
    weight_decay: float
    rates: list[float]
    """At `MOMENTS`."""


class Training(NamedTuple):
    """All that is compared of one training."""

    facts: Facts
    groups: list[Group]
    epochs: list[float]
    """Where `MOMENTS` are, in epochs."""


def training(cfg: DictConfig, pictures: Path) -> Training:
    """Build what a command would train, on the meta device, and read it.

    Args:
        cfg: as composed.
        pictures: a folder in place of the data set's.
    """
    cfg = on_stand_ins(cfg)
    with torch.device("meta"):
        task: Any = instantiate(cfg.task)
        if cfg.task.get("_partial_"):
            task = task(num_classes=CLASSES)
    moments, groups, found = optimised(cfg, task, IMAGES)
    encoder = task.model.encoder
    facts = {"kind": "finetune" if cfg.task.get("_partial_") else "pretrain"}
    facts |= {"steps": cfg.steps} if cfg.steps else {"epochs": cfg.epochs}
    facts |= encoder_facts(cfg, encoder) | found | step_facts(cfg) | views(cfg.data, pictures)
    facts |= classifier_facts(cfg, task) if facts["kind"] == "finetune" else _pretraining(cfg, task)
    if facts["kind"] == "pretrain":  # nothing is judged by the recipe of a pre-training
        facts = {
            field: value for field, value in facts.items() if not field.startswith("evaluation.")
        }
    else:  # nothing starts anew but the head
        facts.pop("encoder.linear_sd", None)
    return Training(facts, groups, moments)


def on_stand_ins(cfg: DictConfig) -> DictConfig:
    """The same on one CPU process: what is trained has to be equal there."""
    cfg = cfg.copy()
    cfg.trainer = OmegaConf.merge(cfg.trainer, {"accelerator": "cpu", "devices": 1, "num_nodes": 1})
    # torch has no fused kernel on meta
    cfg.optimizer = OmegaConf.merge(cfg.optimizer, {"fused": False})
    return cfg


def optimised(cfg: DictConfig, task: Any, images: int) -> tuple[list[float], list[Group], Facts]:
    """The moments, in epochs, each parameter's rate at them, and the optimiser's settings.

    Args:
        cfg: as composed.
        task: what it trains.
        images: of the training set.
    """
    portion = portion_of_step(
        cfg.images_per_step, 1, cfg.data.batch_size, cfg.trainer.accumulate_grad_batches
    )
    steps = images // (portion.batch_size * portion.accumulated)
    task._trainer = SimpleNamespace(
        datamodule=SimpleNamespace(batch_size=portion.batch_size, steps_per_epoch=steps),
        world_size=1,
        accumulate_grad_batches=portion.accumulated,
        max_epochs=cfg.epochs,
        max_steps=-1,
    )
    task.steps = cfg.steps
    configured = task.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    every = cfg.steps or cfg.epochs * steps
    warmup = cfg.warmup_epochs * steps if cfg.warmup_steps is None else cfg.warmup_steps
    places = [
        0,
        round(warmup / 2),
        round(warmup + 0.5 * steps),
        round((warmup + every) / 2),
        every - 1,
    ]
    names = {id(p): (name, p.ndim) for name, p in task.named_parameters()}
    groups = []
    for group, peak, share in zip(
        optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True
    ):
        rates = [peak * share(place) for place in places]
        groups += [Group(*names[id(p)], group["weight_decay"], rates) for p in group["params"]]
    decay = task.weight_decay_schedule
    facts = {
        **(
            {
                "weight_decay.end": decay.end,
                "weight_decay.stretch": decay.stretch,
                "weight_decay.late": -int(decay.ahead),
            }
            if decay
            else {"weight_decay.end": task.weight_decay}
        ),
        "optimizer.kind": type(optimizer).__name__,
        "optimizer.betas": list(optimizer.defaults["betas"]),
        "optimizer.eps": optimizer.defaults["eps"],
        "lr.peak": task.lr,
        "images_per_step": task.effective_batch,
        "_steps_of_an_epoch": steps,
        "_epochs": every / steps,
        "_warmup_epochs": warmup / steps,
    }
    if cfg.warmup_steps is None:
        facts["warmup_epochs"] = cfg.warmup_epochs
    elif not isinstance(task, Dense):  # whose recipes call it lr.warmup_iterations
        facts["warmup_steps"] = cfg.warmup_steps
    return [place / steps for place in places], groups, facts


def step_facts(cfg: DictConfig) -> Facts:
    """What cuts gradients down, and what averages weights."""
    clip = cfg.trainer.gradient_clip_val
    average = cfg.callback.get("weight_average")
    facts = {"weight_average.decay": average.decay} if average else {}
    if cfg.get("clip"):
        each = instantiate(cfg.clip)
        kind = {"ClipEachParameter": "each parameter tensor by itself"}[type(each).__name__]
        return facts | {"clip_grad.norm": each.max_norm, "clip_grad.kind": kind}
    return facts | named("clip_grad", None if clip is None else {"norm": clip, "kind": "global"})


def _pretraining(cfg: DictConfig, task: Any) -> Facts:
    facts = (
        decoder_facts(cfg, task.model)
        | loss_facts(task.loss, task.model.encoder.depth)
        | {"label_smoothing": None, "mixup": None, "cutmix": None}
    )
    facts |= teacher_facts(task.teacher, cfg.epochs) if task.teacher else {}
    facts |= {"head.start": cfg.model.start} if "start" in cfg.model else {}
    if not cfg.masker:
        return facts | {"mask": None}
    masker, encoder = instantiate(cfg.masker), task.model.encoder
    if not isinstance(masker, Scheduled):
        return facts | mask_facts("mask", masker, encoder)
    schedule = {"mask_schedule.first_epoch": masker.at_epoch}
    watchers = cfg.callback.get("refresh_attention")
    if watchers and any(isinstance(part, AttentionStore) for part in masker.modules()):
        schedule["mask_schedule.interval_epochs"] = watchers.every_n_epochs
        schedule["mask_schedule.first_refresh"] = watchers.first_epoch or watchers.every_n_epochs
    return (
        facts
        | schedule
        | mask_facts("mask_schedule.first", masker.first, encoder)
        | mask_facts("mask", masker.then, encoder)
    )
