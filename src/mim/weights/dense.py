"""Open the segmenter or the detector that fine-tuned weights are of: sizes of heads are those that
the run says.
"""

from collections.abc import Callable
from typing import Any

from mim.encoder.model import Model
from mim.encoder.vit import ViT
from mim.head.detector import Detector
from mim.head.segmenter import Segmenter
from mim.launch.signature import type_hints
from mim.launch.values import check_value
from mim.plain import Settings
from mim.ranges import Size
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.settings import NESTED, Kind, build
from mim.weights.weights import Weights

HEAD = Kind("mim.head", ("with_auxiliary",))
PROPOSALS = Kind("mim.head", ("propose",))
REGIONS = Kind("mim.head", ("describe",))
OF_DETECTOR = ("image_size", "window", "global_blocks", "relative")


def open_dense(weights: Weights, task: str, image_size: Size) -> Model:
    """Build and load it.

    Args:
        weights: of a run of ours.
        task: "segment" or "detect".
        image_size: pixels per side, of the images that it was trained on or of others.

    Raises:
        ValueError: where the weights are not of that task, or not the whole of it.
    """
    model = MODELS[task](weights, image_size)
    lacks = [
        name
        for name in model.state_dict()
        if not name.startswith("encoder.") and name not in weights.tensors
    ]
    if lacks:
        raise ValueError(
            f"{weights.origin} does not hold the whole model: it lacks {', '.join(lacks[:3])}"
        )
    load_weights_into(weights, model)
    return model


def _segmenter(weights: Weights, image_size: Size) -> Model:
    settings = weights.setting("head", dict, {})
    last = next(
        (
            name
            for name in ("head.classify.1.weight", "head.classify.weight")
            if name in weights.tensors
        ),
        None,
    )
    if last is None or not settings:
        raise _other(weights, "segment")
    encoder, num_classes = build_encoder(weights, image_size), len(weights.tensors[last])
    head = _built(settings, HEAD, weights, "head", in_width=encoder.width, num_classes=num_classes)
    blocks = weights.setting("task.model.blocks", list, []) or None
    return Segmenter(encoder, lambda **_: head, num_classes, blocks)


def _built(settings: Settings, kind: Kind, weights: Weights, what: str, **sizes: int) -> Any:
    """What settings name, with the sizes that data and encoder give."""
    # null is their default
    left_out = {"_partial_", *(name for name in NESTED if settings.get(name, 0) is None)}
    known = {name: value for name, value in settings.items() if name not in left_out}
    return build(known | sizes, kind, weights.origin, what)


def _other(weights: Weights, task: str) -> ValueError:
    return ValueError(
        f"{weights.origin} was not trained by task={task}; judge its features (evaluate=dense_knn, "
        "evaluate=dense_linear), or "
        f"fine-tune it: python train.py task={task} data=... checkpoint=..."
    )


def _detector(weights: Weights, image_size: Size) -> Model:
    settings = weights.setting("task.model", dict, {})
    if "regions.score.weight" not in weights.tensors or "regions" not in settings:
        raise _other(weights, "detect")
    encoder, num_classes = build_encoder(weights), len(weights.tensors["regions.score.weight"]) - 1
    if not isinstance(encoder, ViT):
        raise ValueError(
            f"{weights.origin}: a detector is built on a ViT, and this one says "
            f"{type(encoder).__name__}"
        )
    width = weights.setting("task.model.width", int, 256)
    own = {name: settings[name] for name in OF_DETECTOR if name in settings}
    proposals = _built(
        settings["proposals"], PROPOSALS, weights, "task.model.proposals", width=width
    )
    regions = _built(
        settings["regions"],
        REGIONS,
        weights,
        "task.model.regions",
        in_width=width,
        num_classes=num_classes,
    )
    for name, value in own.items():
        check_value(f"{weights.origin}: task.model.{name}", value, type_hints(Detector)[name])
    return Detector(
        encoder, lambda **_: proposals, lambda **_: regions, num_classes, width=width, **own
    )


MODELS: dict[str, Callable[[Weights, Size], Model]] = {"segment": _segmenter, "detect": _detector}
