"""What each command reads of its config itself, outside of any part that is built."""

from typing import Any, Literal, TypedDict, get_type_hints

from omegaconf import DictConfig, OmegaConf

from mim.launch.check import check_value
from mim.ranges import Count, NotNegative, Positive, Seed

Accelerator = Literal["auto", "cpu", "cuda", "gpu", "mps"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "64-true", "bf16-true", "16-true"]


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
    checkpoint: str | None
    attention_from: str | None
    resume: str | None
    watch_every_n_epochs: Count


class Eval(TypedDict, total=False):
    """Of `eval.py`."""

    name: str
    checkpoint: str | list[str]
    seed: Seed
    accelerator: Accelerator
    precision: Precision | None
    attention_from: str | None
    block: Count | None
    norm: bool
    bank_limit: Count | None
    held_out_limit: Count | None
    cache: str | None


_OF: dict[str, Any] = {"train": Train, "eval": Eval}


def check_top(cfg: DictConfig, config_name: str) -> None:
    """Hold what a command reads itself against its kind: a list is no path, and a word no number of epochs.

    Raises:
        ValueError: one line, the setting first.
    """
    values: Any = OmegaConf.to_container(cfg, resolve=True)
    for name, hint in get_type_hints(_OF.get(config_name, Train), include_extras=True).items():
        if name in values:
            check_value(name, values[name], hint)
    for name, value in (values.get("paths") or {}).items():
        check_value(f"paths.{name}", value, str)
