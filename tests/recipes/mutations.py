"""Every setting of a composed experiment, changed one at a time: what the comparison with the
ledger has to notice.
"""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

NO_RECIPE = {
    *(
        "name",
        "seed",
        "compile",
        "checkpoint",
        "attention_from",
        "resume",
        "watch_every_n_epochs",
        "start_epoch",
    ),
    *("paths", "logger", "sweep", "callback", "trainer"),
    *("accelerator", "precision", "cache", "bank_limit", "held_out_limit"),  # of a probe
}
"""Settings that leave what is trained as it is: where, from what, and what watches."""
BUT = (
    "trainer.gradient_clip_val",
    "callback.refresh_attention.every_n_epochs",
    "callback.refresh_attention.first_epoch",
    "callback.weight_average.decay",
)
"""Of those, what a recipe does say."""
SPLIT = {
    "held_out",
    "root",
    "max_megapixels",
    "range",
    "num_workers",
    "batch_size",
    "seed",
    "shuffle",
    "cache",
    "fused",
    "exif",
    "reduced",
    "compile",
}
"""Names of settings below a group that leave it as it is, too."""
WORDS = {
    "fixed_sincos": "absolute",
    "bicubic": "bilinear",
    "bilinear": "bicubic",
    "central": "sobel",
    "green": "blue",
    "l1": "l2",
    "l2": "l1",
    "absolute": "shared_bias",
    "shared_bias": "absolute",
    "block_bias": "absolute",
    "sincos_rows_first": "sincos",
    "sincos_rows_first_and_block_bias": "sincos_rows_first",
    "cae": "simmim",
    "beit": "torch",
    "torch": "beit",
    "down": "up",
    "up": "down",
    "mask_up": "mask_down",
    "keep_down": "mask_down",  # of mask_up it is the same
    "sincos": "sincos_rows_first",
    "learned": "sincos",
    "mae": "dino",
    "dino": "mae",
    "gelu": "relu",
    "most": "least",
    "middle": "low",
    "low": "middle",
    "image": "batch",
    "pixel": "const",
    "batch": "elem",
    "rand-m9-mstd0.5-inc1": "rand-m5-mstd0.5-inc1",
}
"""A word of a choice -> another."""


def mutations(cfg: DictConfig) -> Iterator[tuple[str, Any, Any]]:
    """Dotted name of a setting, what it is, and what it could be by mistake."""
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    for path, value in _leaves(raw, ""):
        first, last = path.partition(".")[0], path.rpartition(".")[2]
        if (first in NO_RECIPE and path not in BUT) or last in SPLIT or last.startswith("_"):
            continue
        if path.startswith("data.augment.") and "augment" in raw:  # a probe's own takes its place
            continue
        # of what is judged, and pre-training judges nothing
        if last.startswith("resize") and "model" in raw and "mix" not in raw["task"]:
            continue
        if _without_effect(path, raw):
            continue
        if _of_no_crop(path, raw):
            continue
        # nothing to refresh
        if "refresh_attention" in path and "AttentionStore" not in str(raw.get("masker")):
            continue
        if isinstance(value, str) and "${" in value:  # changed where it stands
            continue
        for other in _others(value):
            yield path, value, other


def _without_effect(path: str, raw: Any) -> bool:
    """Whether another setting decides instead."""
    instead = {"base_lr": "lr", "warmup_epochs": "warmup_steps", "epochs": "steps"}
    if raw.get(instead.get(path, "")) is not None:
        return True
    if path == "decay_to_start" and path not in raw["task"]:  # a command is refused then
        return True
    # Half of an even number of patches is whole.
    if path == "masker.partition.rounding" and raw["masker"]["partition"].get("ratio") == 0.5:
        return True
    # No hints are drawn from any patches.
    if path == "masker.score.hint_from" and raw["masker"]["score"].get("hint_ratio") == 0:
        return True
    # What learns from label maps or objects jitters images, and judges them in another way.
    return "jitter" in raw["data"] and path.startswith(
        ("data.augment.", "data.resize_interpolation")
    )


def _of_no_crop(path: str, raw: Any) -> bool:
    """Whether a setting is of local crops, or of the second global one, where there are none."""
    augment = raw["data"].get("augment", {})
    if augment.get("local_crops") != 0:
        return False
    absent = "[12]" if augment.get("global_crops") == 1 else "2"
    return re.search(rf"augment\.(local_s|(blur|solarize)\.{absent})", path) is not None


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and node:
        for number, value in enumerate(node):
            yield from _leaves(value, f"{path}.{number}")
    else:
        yield path, node


def _others(value: Any) -> Iterator[Any]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value * 2 if value else 1
    elif isinstance(value, float):
        yield value * 0.7 if value else 0.1
    elif isinstance(value, str) and value in WORDS:
        yield WORDS[value]
