"""What a detection or a segmentation builds, in the words of the ledger."""

from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from mim.head.cascade import CascadeHeads
from mim.head.detector import Detector
from mim.head.pyramid import SCALES
from mim.head.regions import BOX_SIDE, MASK_SIDE, RegionHeads
from mim.head.segmenter import Segmenter
from mim.part import Progress
from mim.train.detect import Detect
from tests.recipes.built import Training, on_stand_ins, optimised, step_facts
from tests.recipes.facts import Facts, named
from tests.recipes.of_encoder import encoder_facts

IMAGES = {"detect": 118_000, "segment": 20_210}
CLASSES = {"detect": 80, "segment": 150}


def dense_training(cfg: DictConfig) -> Training:
    """Build what a command would train, on the meta device, and read it; no picture is read."""
    cfg = on_stand_ins(cfg)
    with torch.device("meta"):
        built: Any = instantiate(cfg.task)
        kind = "detect" if built.func is Detect else "segment"
        task = built(num_classes=CLASSES[kind])
    moments, groups, found = optimised(cfg, task, IMAGES[kind])
    model = task.model
    facts = (
        {"kind": kind} | encoder_facts(cfg, model.encoder) | found | step_facts(cfg) | _data(cfg)
    )
    del facts["encoder.layer_scale"]
    facts |= (
        _detector(cfg, model, task, found["_steps_of_an_epoch"])
        if kind == "detect"
        else _segmenter(cfg, model)
    )
    return Training(facts, groups, moments)


def _data(cfg: DictConfig) -> Facts:
    data: Any = instantiate(cfg.data)
    jitter = data.jitter
    return {
        "flip": jitter.flip,
        "large_scale_jitter.scale": list(jitter.scale),
        "large_scale_jitter.target": [data.image_size] * 2,
        "large_scale_jitter.of": f"{jitter.fit} side",
        "normalisation.mean": [255 * value for value in data.mean],
        "normalisation.std": [255 * value for value in data.std],
        "test.shortest_side": data.resize,
        "test.longest_side": data.longest,
    }


def _detector(cfg: DictConfig, model: Detector, task: Detect, passes: int) -> Facts:
    grid, side = model.encoder.geometry.grid[0], model.image_size // model.backbone.stride
    relative = model.relative is not None and len(model.relative) == model.encoder.depth
    windowed = model.backbone.windowed
    threshold = cfg.data.repeat_threshold
    return {
        "iterations": task.length,
        "lr.warmup_iterations": cfg.warmup_steps,
        "lr.warmup_factor": task.schedule.start,
        "lr.milestones": [_below(share, task, passes) for share in (0.5, 0.05)],
        "encoder.positions": f"absolute of the pre-trained {grid} x {grid} grid, resized to {side} "
        f"x {side}" + (", and relative in every block (start at zero)" if relative else ""),
        "encoder.cls_token": model.encoder.cls_token.requires_grad,
        "encoder.window": model.backbone.window,
        "encoder.window_blocks": [number for number, each in enumerate(windowed) if each],
        "encoder.global_blocks": [number for number, each in enumerate(windowed) if not each],
        "pyramid.scales": list(SCALES),
        "pyramid.strides": model.strides,
        "pyramid.width": model.pyramid.width,
        **_proposals(cfg),
        **_regions(model.regions),
        **named("sampler", threshold and {"kind": "repeat factor", "threshold": threshold}),
    }


def _below(share: float, task: Detect, passes: int) -> int:
    """First step of the second half whose rate is below a share of the peak, of epochs of so many
    steps.
    """
    steps = task.length
    first, last = steps // 2, steps
    while first < last:
        middle = (first + last) // 2
        is_below = task.schedule(Progress(middle, steps, passes), 1.0) < share
        first, last = (first, middle) if is_below else (middle + 1, last)
    return first


def _proposals(cfg: DictConfig) -> Facts:
    network: Any = instantiate(cfg.task.model.proposals)(width=8)
    sides = network.cells[..., 2:] - network.cells[..., :2]  # levels, ratios, (width, height)
    kept = {"train": network.kept[True], "test": network.kept[False]}
    return {
        "heads.rpn.convolutions": _convolutions(network.shared),
        "heads.rpn.anchors.sizes": sides[:, 0].prod(-1).sqrt().tolist(),
        "heads.rpn.anchors.ratios": (sides[0, :, 1] / sides[0, :, 0]).tolist(),
        "heads.rpn.images_anchors": network.sampled,
        "heads.rpn.positive": network.positive,
        "heads.rpn.thresholds": [network.matcher.low_threshold, network.matcher.high_threshold],
        "heads.rpn.before_nms": {name: each.before_nms for name, each in kept.items()},
        "heads.rpn.after_nms": {name: each.after_nms for name, each in kept.items()},
        "heads.rpn.nms": network.nms,
    }


def _regions(regions: RegionHeads) -> Facts:
    connected = [layer.out_features for layer in regions.box if isinstance(layer, nn.Linear)]
    federated = regions.federated
    loss = {"kind": "softmax"} if federated is None else {"kind": "sigmoid, federated"}
    if federated is not None:
        loss |= {"classes_kept_in_total": federated.classes, "class_weight_power": federated.power}
        loss |= {"first_score": torch.tensor(federated.first_bias).sigmoid().item()}
    return {
        "heads.box.convolutions": _convolutions(regions.box),
        "heads.box.width": _width(regions.box),
        "heads.box.fully_connected": connected,
        "heads.box.roi": BOX_SIDE,
        "heads.box.sampled": regions.sampled,
        "heads.box.positive": regions.positive,
        "heads.box.threshold": regions.threshold,
        "heads.box.box_weights": list(regions.offsets.weights),
        "heads.mask.convolutions": _convolutions(regions.mask) - 1,  # the last makes scores
        "heads.mask.width": _width(regions.mask),
        "heads.mask.roi": MASK_SIDE,
        "heads.mask.out": 2 * MASK_SIDE,
        "heads.canonical_size": regions.canonical_size,
        "classification_loss": loss,
        "evaluation.score_threshold": regions.score_threshold,
        "evaluation.nms": regions.nms,
        "evaluation.detections_an_image": regions.detections,
        **({"heads.box.cascade": _cascade(regions)} if isinstance(regions, CascadeHeads) else {}),
    }


def _cascade(regions: CascadeHeads) -> Facts:
    offsets = {stage.offset.out_features for stage in regions.stages}
    return {
        "thresholds": [regions.threshold, *regions.later],
        "box_weights": [list(stage.offsets.weights) for stage in regions.stages],
        "offsets": "the same for all categories" if offsets == {4} else "of each",
    }


def _convolutions(layers: nn.Module) -> int:
    return sum(isinstance(layer, nn.Conv2d) for layer in layers.modules())


def _width(layers: nn.Module) -> int:
    return next(layer.out_channels for layer in layers.modules() if isinstance(layer, nn.Conv2d))


def _segmenter(cfg: DictConfig, model: Segmenter) -> Facts:
    head: Any = model.head
    data: Any = instantiate(cfg.data)
    return {
        "epochs": cfg.epochs,
        "lr.warmup_iterations": cfg.warmup_steps,
        "taps": [number - 1 for number in model.blocks],
        "data": {
            "classes": len(data.names),
            "first_class": data.values[0],
            "ignored": data.values[1],
        },
        "heads.kind": type(head).__name__,
        "heads.width": _width(head.fuse),
        "heads.pools": list(head.pools),
        "heads.dropout": head.classify[0].p,
        "heads.auxiliary": head.auxiliary
        and {"width": _width(head.auxiliary), "weight": head.auxiliary_weight, "tap": 2},
        "lr.power": cfg.schedule.power,
        "lr.warmup_factor": cfg.schedule.start,
    }
