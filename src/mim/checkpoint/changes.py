"""What a run that goes on has other than the run that wrote its checkpoint: what takes effect, and
what is refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mim.plain import Settings, printable

_ABSENT = "absent"
_SILENT = (
    "name",
    "paths",
    "resume",
    "checkpoint",
    "checkpoint_key",
    "checkpoint_patches",
    "start_epoch",
    "logger",
    "sweep",
    "debug",
    "callback.results",
)
_FIXED = (  # what is refused, and why
    (
        r"(.*\.)?(encoder|model)\.(?!(.*\.)?(drop_path|masker)\b).*",
        "the weights are of another architecture",
    ),
    (r"(loss|masker)(\..+)?\._target_|masker|loss|model|encoder", "it learns something else"),
    (r"task\._target_", "it learns something else"),
    (r"optimizer\._target_", "the state of one optimiser is not that of another"),
    (r"data\._target_", "the place in the epoch is a place among the images of one data set"),
    (r"seed|(data|task)\.seed", "the order of images, crops and masks follows from it"),
    (r"data\.(shuffle|augment\.repeats)", "the order of images follows from it"),
)
_MOST = 12  # that are named


class Change(NamedTuple):
    """A setting that is not what it was."""

    name: str
    """Dotted."""
    before: object
    now: object

    def __str__(self) -> str:
        return f"{self.name} {_short(self.before)} -> {_short(self.now)}"


def changed_settings(before: Settings, now: Settings) -> list[Change]:
    """Settings that differ between two resolved configs, each once however often it is wired in;
    not names and folders.
    """
    found = list(_differences(_placeless(before), _placeless(now), ""))
    found = [each for each in found if not _is_in(each.name, _SILENT)]
    return [each for each in found if not any(_repeats(each, other) for other in found)]


def refuse_changes(found: Sequence[Change], origin: object) -> None:
    """Refuse what no training can change on its way.

    Raises:
        ValueError: naming the first such setting and the way out.
    """
    for change in sorted(found, key=lambda change: not change.name.endswith("_target_")):
        if change.name == "weight_decay" and 0 in (change.before, change.now):
            raise ValueError(
                f"{printable(origin)} was trained with weight_decay={_short(change.before)}, and "
                "resume= cannot go on with "
                f"{_short(change.now)}: the optimiser's groups would be others. Take next to "
                "nothing, e.g. weight_decay=1e-12, "
                "or start anew from the weights with checkpoint="
            )
        if change.name == "decay_to_start" and not (change.before and change.now):
            raise ValueError(
                f"{printable(origin)} was trained with decay_to_start={_short(change.before)}, and "
                f"resume= cannot go on with {_short(change.now)}: the weights that a run began "
                "from are kept only where it decays to them. Leave it as it was, or start anew "
                "from the weights with checkpoint="
            )
        leaf_of_old_run = _ABSENT in (change.before, change.now) and "." in change.name
        for pattern, why in _FIXED:
            if re.fullmatch(pattern, change.name) and not leaf_of_old_run:
                raise ValueError(
                    f"{printable(origin)} was trained with {change.name}={_short(change.before)}, "
                    "and resume= cannot go on with "
                    f"{_short(change.now)}: {why}. Give the words of that run again, or start anew "
                    "from the weights with checkpoint="
                )


def in_words(found: Sequence[Change]) -> str:
    """What is said of them where training goes on."""
    named = ", ".join(map(str, found[:_MOST]))
    return named + (f", and {len(found) - _MOST} more" if len(found) > _MOST else "")


def _differences(before: object, now: object, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in before if key not in now)]:
            yield from _differences(
                before.get(key, _ABSENT), now.get(key, _ABSENT), f"{path}.{key}" if path else key
            )
    elif before != now:
        yield Change(path, before, now)


def _placeless(config: Settings) -> object:
    """The config with the run's own folder taken out of its paths."""
    run = str((config.get("paths") or {}).get("run") or "")

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items()}
        return value.replace(run, ".") if run and isinstance(value, str) else value

    return without(dict(config))


def _is_in(name: str, groups: Sequence[str]) -> bool:
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def _repeats(change: Change, other: Change) -> bool:
    """Whether a change is another one, wired in further down: `task.lr` and `lr`,
    `trainer.max_epochs` and `epochs`.
    """
    same = (change.before, change.now) == (other.before, other.now)
    return same and len(other.name) < len(change.name) and change.name.endswith(other.name)


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("_target_", "other settings")).rpartition(".")[2]
    return (
        f"{value:g}"
        if isinstance(value, float)
        else "null"
        if value is None
        else printable(value, 60)
    )
