"""What a command builds, read off the built objects and not off its yaml, in the words of the
ledger.
"""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from timm.layers import DropPath
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mim.batch import Batch, blank
from mim.draw import keys
from mim.encoder.beit import Beit
from mim.encoder.pixio import Pixio
from mim.encoder.swin import Swin
from mim.launch.processes import portion_of_step
from mim.loss.across_views import AcrossViews
from mim.loss.prototypes import PrototypeMatch
from mim.loss.weighted_sum import WeightedSum
from mim.masker.attention_store import AttentionStore
from mim.masker.independent import Independent
from mim.masker.multi_block import MultiBlock
from mim.masker.partition.covered import Covered
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.scheduled import Scheduled
from mim.masker.score.block import Block as BlockScore
from mim.masker.score.block import smallest_block
from mim.masker.score.color_noise import ColorNoise
from mim.masker.score.drawn_block import DrawnBlock
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.model.beit_v2 import BeitV2
from mim.model.bootmae import BootMAE
from mim.model.cae import CAE
from mim.model.cmae import CMAE
from mim.model.ibot import IBOT
from mim.model.query_decoder import QueryDecoder
from mim.model.siamese import Siamese
from mim.optim.number import Lines, number_at
from mim.part import Progress
from mim.target.hog import HOG
from mim.train.labelled import Dense
from tests.recipes.views import views

IMAGES = 1_281_167  # of ImageNet
CLASSES = 1000
MOMENTS = ("first step", "in the warm-up", "after the warm-up", "half-way", "last step")
Facts = dict[str, Any]
OF_BLOCKS = (
    "targets",
    "scale",
    "aspect",
    "context_scale",
    "min_visible",
    "border",
    "one_draw",
    "per",
)
"""Settings of I-JEPA's masker: what it does with them is compared with the release's own draws
elsewhere.
"""


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
    facts |= _classifier(cfg, task) if facts["kind"] == "finetune" else _pretraining(cfg, task)
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
            else {}
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


def encoder_facts(cfg: DictConfig, encoder: Any) -> Facts:
    swin = isinstance(encoder, Swin)
    stages = [stage.blocks for stage in encoder.layers] if swin else [encoder.blocks]
    blocks = [block for stage in stages for block in stage]
    patch = encoder.geometry.patch_size[0]
    facts = {
        "encoder.width": encoder.embed_dim,
        "encoder.heads": [stage[0].attn.num_heads for stage in stages]
        if swin
        else blocks[0].attn.num_heads,
        "encoder.image_size": cfg.data.image_size,
        "encoder.patch": patch // encoder.small if swin else patch,
        "_pixels_of_a_patch": patch,
        "encoder.drop_path": [_drop_path(block) for block in blocks],
        "encoder.layer_scale": _layer_scale(cfg.encoder),
        **_positions(cfg.encoder, encoder),
        "encoder.qkv_bias": "query_value"
        if hasattr(blocks[0].attn, "q_bias")
        else blocks[0].attn.qkv.bias is not None,
        "encoder.norm_eps": blocks[0].norm1.eps,
        "encoder.cls_token": getattr(encoder, "cls_token", None) is not None,
        **({"encoder.start": cfg.encoder.start} if "start" in cfg.encoder else {}),
        **({"encoder.attention_dropout": rate} if (rate := _attention_dropout(blocks)) else {}),
        "encoder.mlp_ratio": blocks[0].mlp.fc1.out_features / blocks[0].mlp.fc1.in_features,
    }
    if isinstance(encoder, Pixio):
        facts |= {"encoder.cls_tokens": encoder.prefix}
    if swin:
        facts |= {"encoder.depths": [len(stage) for stage in stages]}
        facts |= {"encoder.window": blocks[0].window_size[0]}
    else:
        facts |= {"encoder.depth": len(blocks)}
    return facts


def _drop_path(block: nn.Module) -> float:
    rates = {part.drop_prob for part in block.modules() if isinstance(part, DropPath)}
    return rates.pop() if rates else 0.0


def _attention_dropout(blocks: list[Any]) -> float:
    rates = {block.attn.attn_drop.p for block in blocks}
    return rates.pop() if len(rates) == 1 else -1.0


def _layer_scale(node: DictConfig) -> float | None:
    if "layer_scale" not in node:
        return None
    scale = (
        instantiate(OmegaConf.merge(node, {"depth": 1, "width": 64, "heads": 1})).blocks[0].gamma_1
    )
    return None if scale is None else scale.mean().item()


def _positions(node: DictConfig, encoder: Any) -> Facts:
    """What they are, and how they are resized to smaller views where those are learned from
    nothing.
    """
    if isinstance(encoder, Swin):
        return {"encoder.positions": "block_bias"}
    if not isinstance(encoder, Beit):
        small = instantiate(OmegaConf.merge(node, {"depth": 1, "width": 64, "heads": 1}))
        if small.pos_embed.requires_grad:
            starts = {"encoder.linear_sd": small.blocks[0].mlp.fc1.weight.std().item()}
            return {
                "encoder.positions": "learned",
                "encoder.resize_offset": encoder.resize_offset,
                **starts,
            }
        return {
            "encoder.positions": "learned_sincos"
            if encoder.pos_embed.requires_grad
            else "fixed_sincos"
        }
    if encoder.pos_embed is not None:
        kind = "absolute" if encoder.pos_embed.requires_grad else "fixed_sincos_rows_first"
        biased = encoder.blocks[0].attn.relative_position_bias_table is not None
        return {"encoder.positions": f"{kind}_and_block_bias" if biased else kind}
    return {
        "encoder.positions": "shared_bias" if encoder.rel_pos_bias is not None else "block_bias"
    }


def step_facts(cfg: DictConfig) -> Facts:
    clip = cfg.trainer.gradient_clip_val
    average = cfg.callback.get("weight_average")
    facts = {"weight_average.decay": average.decay} if average else {}
    if cfg.get("clip"):
        each = instantiate(cfg.clip)
        kind = {"ClipEachParameter": "each parameter tensor by itself"}[type(each).__name__]
        return facts | {"clip_grad.norm": each.max_norm, "clip_grad.kind": kind}
    return facts | named("clip_grad", None if clip is None else {"norm": clip, "kind": "global"})


def _classifier(cfg: DictConfig, task: Any) -> Facts:
    node = OmegaConf.merge(
        cfg.encoder, {"depths": [1] * 4} if "depths" in cfg.encoder else {"depth": 1}
    )
    small = instantiate(cfg.model, encoder=node)(num_classes=CLASSES)
    mix, erase = task.mix, task.erase(device="cpu") if task.erase else None
    return {
        "head.sd": small.head.weight.std().item(),
        "head.bias": small.head.bias.abs().max().item(),
        "pool": {"Mean": "mean", "Cls": "cls"}[type(task.model.pool).__name__],
        "head_norm": "new_after_pool" if hasattr(task.model, "fc_norm") else "own_before_pool",
        "label_smoothing": task.label_smoothing,
        "trained": "all" if all(p.requires_grad for p in task.model.parameters()) else "some",
        "mixing.label_smoothing": mix and mix.label_smoothing,
        **named("mixup", mix and {"alpha": mix.mixup_alpha}),
        **named("cutmix", mix and {"alpha": mix.cutmix_alpha}),
        **named(
            "mixing",
            mix
            and {
                "probability": mix.mix_prob,
                "switch_probability": mix.switch_prob,
                "mode": mix.mode,
            },
        ),
        **named("random_erasing", erase and _erasing(erase)),
    }


def named(name: str, values: Facts | None) -> Facts:
    """Facts under a name, or that there are none."""
    return (
        {name: None}
        if values is None
        else {f"{name}.{key}": value for key, value in values.items()}
    )


def _erasing(erase: Any) -> Facts:
    return {
        "probability": erase.probability,
        "mode": "pixel" if erase.per_pixel else "rand" if erase.rand_color else "const",
        "count": erase.max_count
        if erase.min_count == erase.max_count
        else [erase.min_count, erase.max_count],
        "area": [erase.min_area, erase.max_area],
    }


def _pretraining(cfg: DictConfig, task: Any) -> Facts:
    facts = (
        (_latents(cfg, task.model) if isinstance(task.model, CAE) else _decoders(task.model))
        | _loss(task.loss, task.model.encoder.depth)
        | {"label_smoothing": None, "mixup": None, "cutmix": None}
    )
    facts |= _teacher(task.teacher, cfg.epochs) if task.teacher else {}
    facts |= {"head.start": cfg.model.start} if "start" in cfg.model else {}
    if not cfg.masker:
        return facts | {"mask": None}
    masker, encoder = instantiate(cfg.masker), task.model.encoder
    if not isinstance(masker, Scheduled):
        return facts | _masked("mask", masker, encoder)
    schedule = {"mask_schedule.first_epoch": masker.at_epoch}
    watchers = cfg.callback.get("refresh_attention")
    if watchers and any(isinstance(part, AttentionStore) for part in masker.modules()):
        schedule["mask_schedule.interval_epochs"] = watchers.every_n_epochs
        schedule["mask_schedule.first_refresh"] = watchers.first_epoch or watchers.every_n_epochs
    return (
        facts
        | schedule
        | _masked("mask_schedule.first", masker.first, encoder)
        | _masked("mask", masker.then, encoder)
    )


def _teacher(teacher: Any, epochs: int) -> Facts:
    """Momentum at the first and the last step, where it turns, and what is averaged."""
    first, last = (
        number_at(teacher.momentum, Progress(step, 10 * epochs, 10)) for step in (0, 10 * epochs)
    )
    facts = {"teacher.ema.start": first, "teacher.ema.end": last, "teacher.of": list(teacher.of)}
    facts |= {"teacher.late": True} if teacher.late else {}
    if isinstance(teacher.momentum, Lines):
        for epoch in (100, 400):
            facts[f"teacher.ema.at_epoch_{epoch}"] = teacher.momentum(
                Progress(10 * epoch, 10 * epochs, 10)
            )
    return {name: _digits(value) for name, value in facts.items()}


def _digits(value: Any) -> Any:
    """A share near 1 by what is left of it, which would be lost in a comparison of shares."""
    return (
        value
        if not isinstance(value, float)
        else round(value, 9)
        if value < 0.99
        else f"1 - {1 - value:.3e}"
    )


def _decoders(model: Any) -> Facts:
    if isinstance(model, BootMAE):
        return _cross_decoders(model)
    if isinstance(model, BeitV2):
        return _aggregator(model)
    if isinstance(model, IBOT):
        return _projection(model)
    if isinstance(model, Siamese):
        return _siamese(model)
    if not isinstance(model, CMAE):
        return _decoder(model.decoder)
    facts = {"decoders.feature.out": model.feature_decoder.predict.out_features}
    for name, decoder in (("pixel", model.decoder), ("feature", model.feature_decoder)):
        facts |= {
            key.replace("decoder.", f"decoders.{name}."): value
            for key, value in _decoder(decoder).items()
        }
    for name, head in (("projector", model.projector), ("predictor", model.predictor)):
        sizes = {
            "in": head[0].in_features,
            "hidden": head[0].out_features,
            "out": head[-1].out_features,
        }
        facts |= {
            f"heads.{name}.{key}": value for key, value in {**sizes, "eps": head[1].eps}.items()
        }
    return facts


def _cross_decoders(model: BootMAE) -> Facts:
    """Of each decoder: its sizes, and the block that it looks at."""
    facts: Facts = {}
    for name, decoder in model.decoders.items():
        attention, width = decoder.blocks[0].attn, decoder.embed.out_features
        facts |= {
            f"decoders.{name}.width": width,
            f"decoders.{name}.depth": len(decoder.blocks),
            f"decoders.{name}.heads": attention.heads,
            f"decoders.{name}.head_width": attention.query.out_features // attention.heads,
            f"decoders.{name}.mlp_ratio": decoder.blocks[0].mlp.fc1.out_features / width,
            f"decoders.{name}.cross_attention_to": f"output of block {model.block[name] - 1}",
        }
    return facts


def _aggregator(model: BeitV2) -> Facts:
    """BEiT v2's: what predicts, and the decoder of a cls token and of earlier patches."""
    return {
        **_decoder(model.decoder),
        "head.shared": model.own is None,
        "aggregator.block": model.block,
        "aggregator.depth": len(model.aggregator),
        "aggregator.drop_path": [_drop_path(block) for block in model.aggregator],
    }


def _latents(cfg: DictConfig, model: CAE) -> Facts:
    """CAE's: sizes of the regressor and of the decoder, and how their branches begin."""
    (decoder,) = model.decoders.values()
    small = {"regressor": instantiate(cfg.model.regressor)(width=48)}
    small |= {"decoder": instantiate(cfg.model.decoder)(width=48, target_dim=1)}
    facts: Facts = {"decoder.scores": decoder.predict.out_features}
    for name, part in (("regressor", model.regressor), ("decoder", decoder)):
        first, attention = part.blocks[0], "cross" if name == "regressor" else "attn"
        facts |= {
            f"{name}.width": part.norm.normalized_shape[0],
            f"{name}.depth": len(part.blocks),
            f"{name}.heads": getattr(
                getattr(first, attention), "heads" if name == "regressor" else "num_heads"
            ),
            f"{name}.mlp_ratio": first.mlp.fc1.out_features / first.mlp.fc1.in_features,
            f"{name}.drop_path": _drop_path(part.blocks[-1]),
            f"{name}.layer_scale": small[name].blocks[0].gamma_1.mean().item(),
        }
    return facts


def _projection(model: IBOT) -> Facts:
    """Of a head of prototypes: its layers, and what is trained of the last one; and how many views
    a teacher sees.
    """
    head: Any = model.head
    linear = [layer for layer in head.mlp if isinstance(layer, nn.Linear)]
    last = head.last_layer
    return {
        "head.layers": len(linear),
        "head.hidden": linear[0].out_features,
        "head.bottleneck": linear[-1].out_features,
        "head.out": len(last.weight_v),
        "head.activation": {nn.GELU: "gelu", nn.ReLU: "relu"}[type(head.mlp[1])],
        "head.norm": head.norm,
        "head.shared_by_cls_and_patch": head.patch_layer is None,
        "head.last_layer.magnitude_trained": last.weight_g.requires_grad,
        "freeze_last_layer_epochs": head.frozen_epochs,
        "teacher.views": model.views,
    }


def _siamese(model: Siamese) -> Facts:
    """Of a projection and a prediction: their layers; and what student and teacher see."""
    facts: Facts = {}
    for name, mlp in (("head", model.head), ("predictor", model.predictor)):
        linear: list[Any] = [layer for layer in mlp.modules() if isinstance(layer, nn.Linear)]
        sizes = (
            {
                "layers": len(linear),
                "hidden": linear[0].out_features,
                "out": linear[-1].out_features,
            }
            if linear
            else None
        )
        facts |= named(name, sizes)
    stem: Any = model.encoder.get_submodule("patch_embed.proj")
    return facts | {
        "head.norm_eps": model.head[1].eps,
        "teacher.views": model.views,
        "student.sees_teachers_views": model.own,
        "student.normed_over": model.normed_over,
        "student.frozen_projection": not stem.weight.requires_grad,
    }


OF_TERMS = {
    "ViewContrast": ("out", "temperature"),
    "PrototypeMatch": ("out", "temperature", "sharpening", "sinkhorn", "mean_entropy", "entropy"),
}
"""Settings of terms across views that are compared as they are: what they do with them, parity
tests compare.
"""


def _across_views(loss: AcrossViews) -> Facts:
    """Of each term: its weight, the student's temperature, the teacher's over the epochs, and how
    its centre moves.
    """
    facts: Facts = {}
    for name, term in loss.term.items():
        if type(term).__name__ in OF_TERMS:
            facts |= {
                f"loss.{name}.{key}": getattr(term, key) for key in OF_TERMS[type(term).__name__]
            }
            facts |= {f"loss.{name}.weight": loss.weight[name]}
            if isinstance(term, PrototypeMatch):
                facts[f"loss.{name}.prototypes"] = len(term.prototypes)
            continue
        target: Any = term.target
        at = [
            round(number_at(target.temperature, Progress(epoch, 2000, 1)), 6)
            for epoch in range(200)
        ]
        facts |= {
            f"loss.{name}.weight": loss.weight[name],
            f"loss.{name}.prototypes": term.out,
            f"loss.{name}.temperature_student": term.student_temperature,
            f"teacher.temperature_{name}.start": at[0],
            f"teacher.temperature_{name}.end": at[-1],
            f"teacher.temperature_{name}.warmup_epochs": at.index(at[-1]) + 1
            if at[0] != at[-1]
            else 0,
            f"teacher.centre_momentum.{name}": target.momentum,
        }
    return facts


def _two_terms(loss: WeightedSum) -> Facts:
    """BootMAE's: what is predicted, how two of four patches that are off by 3 are judged, and the
    weights over the epochs.
    """
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    facts: Facts = {}
    pixel, feature = loss.term["pixel"], loss.term["feature"]
    pixel.grid = feature.grid = (2, 2)
    side = 2 * pixel.target.geometry.patch_size[0]
    image = torch.rand(1, 3, side, side)
    values = pixel.target(image, split)
    spread = values.unflatten(-1, (-1, 3)).std(-2, correction=0)
    facts["target.pixel.normalised"] = bool((spread - 1).abs().max() < 1e-2)
    facts["target.pixel.off_by_3"] = pixel(values + 3, image, split).item()
    known = _Known(torch.rand(8))
    values = feature.target(image, split, known)
    facts["target.feature.blocks"] = [number - 1 for number in known.asked]
    facts["target.feature.as_it_is"] = bool(
        (values - known.asked[-1] ** 2 * known.values).abs().max() < 1e-5
    )
    facts["target.feature.error_of_twice_and_more"] = round(
        feature(2 * values + 5, image, split, known).item(), 4
    )
    facts["target.feature.error_of_the_opposite"] = feature(-values, image, split, known).item()
    for name, weight in loss.weight.items():
        at = [number_at(weight, Progress(10 * epoch, 8010, 10)) for epoch in (0, 100, 200, 800)]
        facts[f"target.{name}.weights"] = [round(each, 5) for each in at]
    return facts


def _decoder(decoder: Any) -> Facts:
    if isinstance(decoder, nn.Linear):
        return {"decoder.outputs": decoder.out_features}
    if isinstance(decoder, QueryDecoder):
        first = decoder.blocks[0]
        return {
            "decoder.width": decoder.predict.in_features,
            "decoder.depth": len(decoder.blocks),
            "decoder.heads": first.cross.heads,
            "decoder.mlp_ratio": first.mlp.fc1.out_features / first.mlp.fc1.in_features,
            "decoder.looks_at": decoder.looks_at,
            "decoder.self_attention": first.attn is not None,
        }
    blocks = [block for block in decoder.blocks if isinstance(block, Block)]
    return {
        "decoder.width": decoder.embed.out_features,
        "decoder.depth": len(blocks),
        "decoder.heads": blocks[0].attn.num_heads,
        "decoder.mlp_ratio": blocks[0].mlp.fc1.out_features / blocks[0].mlp.fc1.in_features,
        **({"decoder.prefix": decoder.prefix} if decoder.pos_embed.requires_grad else {}),
    }


def _loss(loss: Any, depth: int) -> Facts:
    """How a prediction that is 3 off is judged, and whether the target is standardised."""
    if isinstance(loss, AcrossViews):
        return _across_views(loss)
    if set(loss.term) == {"pixel", "feature"}:
        return _two_terms(loss)
    if set(loss.term) == {"codes", "aggregated"}:
        again = loss.term["aggregated"]
        return _codes(loss.term["codes"]) | {
            "loss.weights": dict(loss.weight),
            "loss.aggregated": [again.like, again.error],
        }
    if set(loss.term) == {"codes", "align"}:
        return (
            _codes(loss.term["codes"])
            | _alignment(loss.term["align"])
            | {"loss.weights": dict(loss.weight)}
        )
    if "pixel" not in loss.term:
        (term,) = loss.term.values()
        if isinstance(term.target, HOG):
            return _hog(term)
        return _codes(term) if term.error == "cross_entropy" else _features(term, depth)
    terms, pixel = loss.term, loss.term["pixel"]
    side = 2 * pixel.target.geometry.patch_size[0]
    image = torch.rand(1, 3, side, side)
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    target = pixel.target(image, split)
    spread = target.std(-1)
    off_by_3 = pixel(target + 3, image, split)
    facts = {
        "target.normalised": bool((spread - 1).abs().max() < 1e-3),
        "target.values_of_a_patch": target.shape[-1],
        "target.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3.item(), 3)],
        "loss.weights": dict(loss.weight),
    }
    if "contrast" in terms:
        contrast, alike = terms["contrast"], torch.ones(2, 1, 4)
        told = contrast(alike, _two_views(), _Known(torch.ones(4)))
        facts |= {
            "loss.contrast.temperature": contrast.temperature,
            "loss.contrast.of_two_told_alike": told.item(),
        }
    if "consistency" in terms:
        facts |= {"loss.consistency.error": terms["consistency"].error}
        facts |= {"loss.consistency.stop_gradient": terms["consistency"].stop_gradient}
    return facts


def _hog(term: Any) -> Facts:
    """Sizes of the histograms, their gradient, and how a prediction that is 3 off is judged."""
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, *(2 * side for side in term.target.geometry.patch_size))
    off_by_3 = term(term.target(image, split) + 3, image, split).item()
    return {
        "target.kind": "hog",
        "target.bins": term.target.bins,
        "target.cells": term.target.cells,
        "target.gradient": term.target.gradient,
        "target.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3, 3)],
    }


def _two_views() -> Batch:
    batch = blank(2, (32, 32))
    return batch._replace(views=batch.views * 2)


class _Known:
    """Teacher of some blocks, whose tokens are the number of the block times a row of known
    values.
    """

    prefix = 1

    def __init__(self, values: Tensor, depth: int = 12):
        self.values, self.depth = values, depth

    def __call__(
        self,
        image: Tensor,
        blocks: list[int],
        through: str | None = None,
        added: bool = False,
        normed: bool = False,
    ) -> list[Tensor]:
        self.asked = list(blocks)
        if through:  # images, not tokens
            return [self.values.expand(len(image), -1) for _ in blocks]
        return [number**2 * self.values.expand(1, 5, -1) for number in blocks]


class _Alone(_Known):
    """The same, which sees some patches."""

    def __call__(  # type: ignore[override]
        self,
        image: Tensor,
        blocks: list[int],
        index: Tensor,
        valid: Tensor | None,
        normed: bool,
    ) -> list[Tensor]:
        self.asked, self.seen, self.normed = list(blocks), index, normed
        return [self.values.expand(len(index), 1 + index.shape[-1], -1) for _ in blocks]


def _alignment(term: Any) -> Facts:
    """What a teacher is shown of 2 x 2 patches, and how a prediction that is 3 off is judged."""
    known = _Alone(torch.arange(8.0))
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, 32, 32)
    off_by_3 = term(term.target(image, split, known) + 3, image, split, known).item()
    alone = known.asked == [known.depth] and known.normed and torch.equal(known.seen, split.masked)
    return {
        "target.align.of": "masked patches alone" if alone else "others",
        "target.align.error": {9.0: "l2", 3.0: "l1"}[round(off_by_3, 3)],
    }


def _features(term: Any, depth: int) -> Facts:
    """Which blocks a target averages, what norms do to them, and how a prediction that is off is
    judged.
    """
    known = _Known(torch.arange(8.0), depth)
    split = Split(torch.tensor([[[1, 2]]]), torch.tensor([[[0, 3]]]))
    image = torch.rand(1, 3, 32, 32)
    target = term.target(image, split, known)
    errors = [term(target + off, image, split, known).item() for off in (1.0, 100.0)]
    # smooth L1: off squared over 2 beta, and off less half of beta
    beta = 0.5 / errors[0]
    is_smooth = math.isclose(errors[1], 100 - beta / 2, rel_tol=1e-3)
    return {
        "target.kind": "features",
        "target.blocks": [number - 1 for number in known.asked],
        "target.norms": [list(term.target.each), list(term.target.mean)],
        "target.eps": term.target.eps,
        "target.final_norm": term.target.final_norm,
        "target.of_each": term.target.of,
        "target.loss": {"kind": "smooth L1" if is_smooth else "another", "beta": round(beta, 4)},
    }


def _codes(term: Any) -> Facts:
    """How many codes are scored, whose they are, and that pixels are put back as they were
    normalised.
    """
    return {
        "target.kind": "codes",
        "target.codes": term.target.codes,
        "target.error": term.error,
        "target.mean": "over all masked patches of the batch"
        if type(term).__name__ == "Term"
        else "another",
    }


def _masked(name: str, masker: Any, encoder: Any) -> Facts:
    """How many patches a masker hides, in what squares, by whose score; of Swin those of its first
    stage.
    """
    grid, small = encoder.geometry.grid, getattr(encoder, "small", 1)
    batch = blank(8, (grid[0] * 16, grid[1] * 16))._replace(key=keys(0, 0, torch.arange(8)))
    each = masker.masker if isinstance(masker, Independent) else masker
    if isinstance(masker, MultiBlock):
        return {f"{name}.{key}": _plain(getattr(masker, key)) for key in OF_BLOCKS}
    tokens = torch.randn(8, grid[0] * grid[1], 64) if masker.needs_tokens else None
    split = masker.train()(batch, grid, tokens)
    visible, masked = (
        _counts(index, valid) for index, valid in zip(split[:2], split[2:4], strict=True)
    )
    partition, score = each.partition, each.score
    facts = {
        f"{name}.score": type(score).__name__,
        f"{name}.partition": type(partition).__name__,
        f"{name}.cell": each.cell * small,
        f"{name}.parts": split.visible.shape[1],
    }
    facts |= {f"{name}.noise": score.noise} if hasattr(score, "noise") else {}
    if isinstance(score, ColorNoise):
        facts |= {
            f"{name}.colour": score.colour,
            f"{name}.sigmas": [score.sigma, score.coarse_sigma],
        }
    if isinstance(score, BlockScore):
        facts |= {f"{name}.block_patches": [score.min_patches, score.max_patches]}
        facts |= {
            f"{name}.aspect": [score.min_aspect, 1 / score.min_aspect],
            f"{name}.share": score.ratio,
        }
    facts |= {"attention_map.heads": score.store.heads} if hasattr(score, "store") else {}
    if isinstance(partition, Covered | RandomRatio):
        return facts | _drawn(name, score, partition, split)
    if type(partition).__name__ == "AdaptiveRatio":
        return facts | {
            f"{name}.{key}": getattr(partition, key)
            for key in ("ratio", "spread", "threshold", "per")
        }
    facts |= {f"{name}.throw": partition.throw} if hasattr(partition, "throw") else {}
    # on as many patches that no ratio here is a whole number of them
    if isinstance(partition, FixedRatio):
        facts[f"{name}.masked_of_37"] = partition(
            Ranking(torch.rand(1, 37), torch.rand(1, 37))
        ).masked.shape[-1]
    return facts | {
        f"{name}.masked": masked * small**2,
        f"{name}.visible": visible * small**2,
        f"{name}.thrown": (grid[0] * grid[1] - visible - masked) * small**2,
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _drawn(name: str, score: Any, partition: Any, split: Split) -> Facts:
    """Of a share that is drawn: between what, for whom, and how many patches that may be of 196."""
    ratios = score.ratios if isinstance(score, DrawnBlock) else partition
    facts: Facts = {
        f"{name}.ratio_range": [
            round(ratios.ratio - ratios.spread, 6),
            round(ratios.ratio + ratios.spread, 6),
        ],
        f"{name}.unmasked_probability": ratios.unmasked,
        f"{name}.ratio_drawn": {"image": "for each crop", "batch": "for each batch"}[ratios.per],
        f"{name}.masked_at_most": split.masked.shape[-1],
    }
    if isinstance(score, DrawnBlock):
        facts |= {f"{name}.smallest_block_patches": smallest_block((14, 14), score.min_patches)}
        facts |= {
            f"{name}.aspect": [score.min_aspect, 1 / score.min_aspect],
            f"{name}.threshold": partition.threshold,
        }
    else:
        facts |= {
            f"{name}.hints.share": ratios.hints_from,
            f"{name}.hints.shown_first": score.hint_ratio,
        }
        facts |= {f"{name}.first": "most attended" if score.sign > 0 else "least attended"}
    return facts


def _counts(index: Tensor, valid: Tensor | None) -> int:
    counts = {index.shape[-1]} if valid is None else set(valid.sum(-1).flatten().tolist())
    return counts.pop() if len(counts) == 1 else -1
