"""Hold a composed config against the signatures that it is going to call, before anything is built.

The typed signatures of the components are the schema: nothing is written down twice.
"""

import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from omegaconf import DictConfig

from mim.launch.signature import Signature, signature_of
from mim.launch.trainer_hints import TIGHTER
from mim.launch.values import check_value
from mim.moved import moved
from mim.plain import Settings, settings_of

_BUILT_BY_ENTRY_POINTS = {"data", "task", "evaluate", "trainer", "augment", "encoder"}
_HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}


def nearest(given: str, allowed: list[str]) -> str:
    """A clause that names the nearest of the allowed words, and the others."""
    allowed = [word for word in allowed if not word.startswith("_")]
    if not allowed:
        return "there is none"
    close = get_close_matches(given, allowed, n=1, cutoff=0.5)
    return (
        f"did you mean '{close[0]}'? " if close else ""
    ) + f"allowed: {', '.join(sorted(allowed))}"


def check_config(cfg: DictConfig) -> None:
    """Raise on the first key or value that no signature allows.

    Raises:
        ValueError: one line, saying what was given, what is allowed and where.
    """
    check_values(settings_of(cfg, resolve=True))


def check_values(values: Settings) -> None:
    """The same of a config that is resolved.

    Raises:
        ValueError: as `check_config`.
    """
    _check_finite(values, "")
    calls = _targets(values, "")
    # a component is wired in again further down
    for path, node in sorted(calls, key=lambda call: call[0].count(".")):
        _check_call(path, node)


def _check_finite(value: object, path: str) -> None:
    """Refuse NaN and infinity anywhere, also where what is built would compare it with a bound and
    find nothing wrong.
    """
    if isinstance(value, dict):
        for key, each in value.items():
            _check_finite(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for i, each in enumerate(value):
            _check_finite(each, f"{path}[{i}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(
            f"{path}={value} is never a setting; give a finite number, or leave it out"
        )


def check_wiring(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Refuse a part that nothing takes: fine-tuning hides no patches, and a masker chosen for it
    would silently do nothing.

    Args:
        cfg: as composed.
        choices: by group, what was chosen.

    Raises:
        ValueError: naming the part and what does without it.
    """
    raw = settings_of(cfg)
    for name, node in raw.items():
        is_part = (
            isinstance(node, dict) and "_target_" in node and name not in _BUILT_BY_ENTRY_POINTS
        )
        if is_part and not refers_to(raw, name):
            without = " with ".join(
                f"{group}={choices[group]}"
                for group in ("task", "evaluate", "model")
                if choices.get(group)
            )
            raise ValueError(
                f"{name}={choices.get(name)} would do nothing: {without} takes no {name}; leave it "
                "out, or choose what takes one"
            )


def refers_to(raw: object, name: str) -> bool:
    """Whether an unresolved config has `${name}`, `${name.something}` or `${oc.select:name}`
    anywhere.
    """
    return re.search(rf"\$\{{(oc\.select:)?{name}[.,}}]", str(raw)) is not None


def _targets(node: object, path: str) -> Iterator[tuple[str, Settings]]:
    """Every mapping with a `_target_`, and the dotted path to it."""
    if isinstance(node, dict):
        if node.get("_target_") is not None:
            yield path, node
        for key, value in node.items():
            yield from _targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _targets(value, f"{path}[{i}]")


def _check_call(path: str, node: Settings) -> None:
    target, signature = node["_target_"], None
    try:
        if isinstance(target, str) and target:
            signature = signature_of(target)
    except (ImportError, AttributeError, ValueError) as error:
        now = moved(target)
        told = " ".join(str(error).split())
        why = f"cannot be imported: {told}" if now == target else f"is {now} now"
        raise ValueError(f"{path}._target_={target} {why}") from error
    except TypeError:
        pass
    if signature is None or not isinstance(node.get("_partial_", False), bool):
        raise ValueError(
            f"{path} cannot be built: _target_ names a class or a function, and _partial_ is true "
            "or false"
        )
    _check_names(path, node, signature)
    _check_required(path, node, signature)
    tighter = TIGHTER.get(node["_target_"], {})
    for key, value in node.items():
        if key not in _HYDRA_KEYS and not _is_built_later(value):
            check_value(
                f"{path}.{key}", value, tighter[key] if key in tighter else signature.hint(key)
            )


def _check_names(path: str, node: Settings, signature: Signature) -> None:
    """Refuse settings that what is built does not take; of a class that was put into the place of
    another those of the other are named together.
    """
    strange = [key for key in node if key not in {*_HYDRA_KEYS, *signature.parameters}]
    if not strange or signature.takes_any:
        return
    allowed = list(signature.parameters)
    if len(strange) == 1:
        raise ValueError(
            f"{path}.{strange[0]} is not an argument of {signature.name}; "
            f"{nearest(strange[0], allowed)}"
        )
    left_out = " ".join(f"'~{path}.{key}'" for key in strange)
    raise ValueError(
        f"{', '.join(strange)} of {path} are not arguments of {signature.name}; "
        f"allowed: {', '.join(sorted(allowed))}. {left_out} leaves them out"
    )


def _check_required(path: str, node: Settings, signature: Signature) -> None:
    """Refuse a setting that was left out and has no default; what is built in part is given more
    later.
    """
    missing = [name for name in signature.required if name not in node]
    if missing and not node.get("_partial_") and "_args_" not in node:
        raise ValueError(
            f"{path}.{missing[0]} is not set, and {signature.name} needs it; give it: "
            f"+{path}.{missing[0]}=..., or do not leave it out"
        )


def takes(node: dict, key: str) -> bool:
    """Whether what a mapping with a `_target_` builds has an argument of that name; of what cannot
    be imported nothing is known.
    """
    try:
        return "_target_" in node and key in signature_of(node["_target_"]).parameters
    except (ImportError, AttributeError, TypeError, ValueError):
        return False


def _is_built_later(value: object) -> bool:
    return any(True for _ in _targets(value, ""))
