"""What a checkpoint says of a training beside its weights, held against what a run writes:
counters, optimiser, measurements.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor
from torch.optim import Optimizer

from mim.checkpoint.sound import check_numbers, check_storage
from mim.plain import plain, printable

T = TypeVar("T")
MOST_STEPS = 2**53
NEEDED = ("state_dict", "loops", "lr_schedulers", "global_step")


def check_training(content: object, origin: str) -> None:
    """Refuse a training that no run has written.

    Args:
        content: of a checkpoint, whole or that of many processes without its tensors.
        origin: the file, for messages.

    Raises:
        ValueError: one line about the first thing that is missing, or is something else.
    """
    whole = isinstance(content, Mapping) and "optimizer_groups" not in content
    needed = [*NEEDED, "optimizer_states"] if whole else [*NEEDED[1:], "optimizer_groups"]
    missing = (
        [key for key in needed if key not in content] if isinstance(content, Mapping) else needed
    )
    if missing or not isinstance(content, Mapping):
        raise ValueError(
            f"{printable(origin)} holds no training to continue: it lacks {', '.join(missing)}; "
            "give checkpoints/last.ckpt of a "
            "run, or start anew from its weights with checkpoint="
        )
    check = _Check(origin)
    for key in ("epoch", "global_step"):
        check.count(content.get(key, 0), key)
    for key, kind in (("loops", dict), ("lr_schedulers", list)):
        check.counts(plain(check.kind(content[key], kind, key), origin, key), key)
    for key in ("pace", "said", "known", "callbacks"):
        check.kind(content.get(key, {}), dict, key)
    check.counts(plain(content.get("pace", {}), origin, "pace"), "pace")
    for key in ("said", "known"):
        for name, value in content.get(key, {}).items():
            check.number(value, f"{key}.{name}")
    if whole:
        check.tensors(content["state_dict"], "state_dict")
        check_numbers(content["state_dict"], origin)
    for number, state in enumerate(
        check.kind(
            content["optimizer_states" if whole else "optimizer_groups"], list, "its optimiser"
        )
    ):
        check.optimizer(state, f"optimiser {number}", whole)


def check_moments(optimizers: Iterable[Optimizer]) -> None:
    """Refuse moments of other shapes than the parameters, which would fail in the middle of a step.

    Raises:
        ValueError: naming both.
    """
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                    raise ValueError(
                        f"the checkpoint is damaged: {printable(name, 60)} of a parameter "
                        f"{tuple(parameter.shape)} is "
                        f"{tuple(value.shape)}; take another, or start anew from its weights with "
                        "checkpoint="
                    )


class _Check:
    """Refusals that name the file."""

    def __init__(self, origin: str):
        self.origin = origin

    def optimizer(self, state: object, what: str, whole: bool) -> None:
        groups = state
        if whole:
            parts = self.kind(state, dict, what)
            groups = parts.get("param_groups")
            for key, moments in self.kind(parts.get("state"), dict, f"{what}, its state").items():
                self.kind(key, int, f"{what}, a key of its state")
                found = self.kind(moments, dict, f"{what}, state {key}")
                held = {
                    str(name): value for name, value in found.items() if isinstance(value, Tensor)
                }
                self.tensors(held, f"{what}, state {key}")
                check_numbers(held, f"{self.origin}, {what}, state {key}")
        for group in self.kind(groups, list, f"{what}, its groups"):
            plain(
                self.kind(group, dict, f"{what}, a group"), self.origin, "a group of the optimiser"
            )
            for parameter in self.kind(group.get("params"), list, f"{what}, parameters of a group"):
                self.kind(parameter, int if whole else str, f"{what}, a parameter of a group")

    def tensors(self, tensors: object, what: str) -> None:
        named = self.kind(tensors, dict, what)
        for name, value in named.items():
            self.kind(name, str, f"a name in {what}")
            self.kind(value, Tensor, f"{what}, {name}")
        check_storage(named, self.origin)

    def counts(self, node: object, what: str) -> None:
        """Every whole number is one that something is counted by."""
        if isinstance(node, Mapping | Sequence) and not isinstance(node, str):
            for key, each in node.items() if isinstance(node, Mapping) else enumerate(node):
                self.counts(each, f"{what}.{key}")
        elif type(node) is int:
            self.count(node, what)

    def count(self, value: object, what: str) -> None:
        if not 0 <= self.kind(value, int, what) < MOST_STEPS:
            raise self.refused(f"{what} is {value:,}, which nothing is counted by")

    def number(self, value: object, what: str) -> None:
        if type(value) not in (int, float):
            raise self.refused(f"{what} is a {type(value).__name__}, no number")

    def kind(self, value: object, kind: type[T], what: str) -> T:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.refused(f"{what} is a {type(value).__name__}, no {kind.__name__}")
        return value

    def refused(self, why: str) -> ValueError:
        return ValueError(
            f"{printable(self.origin)} is damaged, or no run wrote it: {printable(why)}; take an "
            "earlier checkpoint, or start "
            "anew from its weights with checkpoint="
        )
