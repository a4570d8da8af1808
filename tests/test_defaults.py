"""Default of an argument: the value that a config gives it, so that a class built in Python is the
one that a command builds.
"""

import inspect
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_object

CONFIGS = Path(__file__).parents[1] / "configs"
OTHERWISE = {
    "augment.boxes.ClampedBoxes.scale",
    "data.ade20k.Ade20k.first_class",
    "data.imagenet.ImageNet.exif",
    "model.decoder.Decoder.positions",  # configs of a ViT's decoder leave it out
    "model.mean_decoder.MeanDecoder.depth",  # of the class that it inherits from
    "teacher.siamese.SiameseEMA.momentum",
    *(f"train.{task}.layer_decay" for task in ("detect.Detect", "finetune.Finetune")),
    "train.segment.Segment.layer_decay",
    "train.finetune.Finetune.label_smoothing",
}
"""Arguments that every config gives another value: what is off in Python."""


def built(node: Any) -> Iterator[dict[str, Any]]:
    """Everything of ours that a config builds, with its arguments."""
    if isinstance(node, dict):
        if str(node.get("_target_")).startswith("mim."):
            yield node
        for value in node.values():
            yield from built(value)


def defaults(target: str) -> dict[str, Any]:
    """Default of each argument that has one, as yaml writes it; None says that there is none."""
    found = {
        name: parameter.default
        for name, parameter in inspect.signature(get_object(target)).parameters.items()
        if parameter.default not in (inspect.Parameter.empty, None)
    }
    return {name: list(each) if isinstance(each, tuple) else each for name, each in found.items()}


def test_a_default_is_what_a_config_says():
    said: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for file in CONFIGS.glob("**/*.yaml"):
        if not {"experiment", "recipe"} & {*file.relative_to(CONFIGS).parts}:
            for each in built(yaml.load(file.read_text(), yaml.CSafeLoader)):
                for name, value in each.items():
                    if not isinstance(value, dict) and "${" not in str(value):
                        said[each["_target_"], name].append(value)
    of_class = {target: defaults(target) for target in {target for target, _ in said}}
    other = {
        f"{target}.{name}".removeprefix("mim.")
        for (target, name), values in said.items()
        if name in of_class[target] and of_class[target][name] not in values
    }
    assert len(said) > 300
    assert other == OTHERWISE
