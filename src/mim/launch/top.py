"""What each command reads of its config itself, outside of any part that is built."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypedDict, get_type_hints

from annotated_types import MinLen

from mim.geometry import PatchResize
from mim.launch.trainer_hints import Accelerator
from mim.launch.values import check_value
from mim.plain import Settings
from mim.ranges import Count, NonNegativeInt, NotNegative, Positive, Seed

Source = Annotated[str, MinLen(1)]
"""A run, a file or a name of weights."""

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
"""In which an encoder is run; its weights and the images stay float32."""


class Train(TypedDict, total=False):
    """Of `train.py`, but for `steps` and `start_epoch`, which it looks at itself."""

    name: str
    seed: Seed
    epochs: Count
    base_lr: Positive | None
    lr: Positive | None
    images_per_step: Count | None
    weight_decay: NotNegative
    compile: bool
    checkpoint: Source | None
    checkpoint_key: str | None
    checkpoint_patches: PatchResize | None
    attention_from: Source | None
    resume: Source | None
    watch_every_n_epochs: Count


class Eval(TypedDict, total=False):
    """Top-level settings of `eval.py`."""

    name: str
    checkpoint: Source | list[Source]
    checkpoint_key: str | None
    seed: Seed
    accelerator: Accelerator
    precision: Precision | None
    attention_from: Source | None
    block: Count | None
    norm: bool
    bank_limit: Count | None
    held_out_limit: Count | None
    cache: str | None


class Sweep(TypedDict, total=False):
    """Of the launcher and the sweeper; sampler and pruner are parts of Optuna."""

    name: str | None
    parallel: Count
    metric: str | list[str]
    maximise: bool | list[bool]
    share_imports: bool | None
    trials: Count
    trial: NonNegativeInt | None


_OF: dict[str, type] = {"train": Train, "eval": Eval}


def check_top(values: Settings, config_name: str) -> None:
    """Hold what a command reads itself of its config, resolved, against its kind: a list is no
    path, and a word no number of epochs.

    Raises:
        ValueError: one line, the setting first.
    """
    _check(values, _OF.get(config_name, Train), "")
    check_sweep(values)
    for name, value in (values.get("paths") or {}).items():
        check_value(f"paths.{name}", value, Source)
    for group in ("callback", "logger", "pool"):
        for name, node in (values.get(group) or {}).items():
            if (node is not None or group == "pool") and not (
                isinstance(node, dict) and "_target_" in node
            ):
                raise ValueError(
                    f"{group}.{name}={node} is no {group}; choose {group}s by {group}=[...], set "
                    "their keys, or leave this one "
                    f"out by {group}.{name}=null"
                )


def check_sweep(values: Mapping[str, object]) -> None:
    """Hold `sweep`, what a sweep reads of a config, against its kind.

    Raises:
        ValueError: one line, the setting first.
    """
    sweep = values.get("sweep") or {}
    if not isinstance(sweep, Mapping):
        raise ValueError(
            f"sweep={sweep} is no choice; choose grid, random or optuna, and set their keys, as "
            "sweep.parallel=2"
        )
    _check(sweep, Sweep, "sweep.")


def _check(values: Mapping[str, object], kind: type, path: str) -> None:
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name in values:
            check_value(path + name, values[name], hint)
