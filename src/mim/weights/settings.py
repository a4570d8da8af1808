"""Settings out of a file: read into the typed signatures of our own public classes, and built
without Hydra.

A file names a class by its `_target_`. It is looked up in the closed list of what the expected
package defines, and nowhere else; its arguments are numbers, words and lists that its signature
allows, up to the bounds below.
"""

import importlib
import inspect
import pkgutil
import types
from collections.abc import Sequence
from functools import cache, partial
from typing import Annotated, Any, Literal, NamedTuple, Protocol, Union, get_args, get_origin

from hydra.utils import get_class

from mim.launch.check import nearest
from mim.launch.hint import Hint
from mim.launch.signature import type_hints
from mim.launch.values import check_value
from mim.plain import Settings, plain, printable


class Kind(NamedTuple):
    """What a file may name in one place."""

    package: str
    """That defines it."""
    has: tuple[str, ...]
    """Attributes that tell it from the other public classes there."""
    own: str | None = None
    """A class of the user's own that may be named as well: what the command line says, never a
    file.
    """


ENCODER = Kind("mim.encoder", ("embed", "encode", "encode_blocks"))
DATA = Kind("mim.data", ("load", "bank_dataloader"))
POOL = Kind("mim.pool", ("forward", "named_parameters"))
NESTED = {
    "augment": Kind("mim.augment", ("views",)),
    "boxes": Kind("mim.augment", ("draws",)),
    "federated": Kind("mim.head", ("chosen",)),
    "jitter": Kind("mim.augment", ("uniforms",)),
}
"""Arguments that are built themselves."""
LARGEST = {
    "image_size": 4096,
    "patch_size": 1024,
    "width": 16_384,
    "depth": 256,
    "depths": 256,
    "heads": 1024,
    "mlp_ratio": 64,
    "window": 256,
    "side": 256,
    "batch_size": 65_536,
    "num_workers": 64,
}
"""Of numbers that decide how much memory is taken, far above what anybody published."""
LONGEST_LIST = 64
_HYDRA = ("_target_", "_partial_")
_DATA_AGAIN = "with a class of your own give its data again, data=<name>"


def check_settings(node: object, kind: Kind, origin: str, what: str) -> Settings:
    """Check a node of a config out of a file; a plain copy of it.

    Args:
        node: `_target_` and arguments.
        kind: of what it may name.
        origin: the file, for messages.
        what: the node's name, for messages.

    Raises:
        ValueError: one line about the first thing that is not as the signatures have it.
    """
    settings = plain(node, origin, what)
    _check(settings, kind, origin, what)
    return settings


def build(settings: Settings, kind: Kind, origin: str, what: str) -> Any:
    """Build what checked settings name; the class itself with its arguments bound where it needs
    one that no file gives.

    Raises:
        ValueError: where the settings are not allowed, or do not go together.
    """
    settings = check_settings(settings, kind, origin, what)
    target = class_of(settings["_target_"], kind, origin)
    values = {
        key: build(value, NESTED[key], origin, f"{what}.{key}")
        if _is_nested(target, key)
        else value
        for key, value in settings.items()
        if key not in _HYDRA
    }
    if settings.get("_partial_"):
        return partial(target, **values)
    try:
        return target(**values)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(
            f"{printable(origin)}: {what} cannot be built: {' '.join(str(error).split())}"
        ) from error


def class_of(target: object, kind: Kind, origin: str) -> type:
    """The public class that a file names.

    Raises:
        ValueError: where there is none of that name and kind.
    """
    if isinstance(target, str) and target in public_classes(kind):
        return public_classes(kind)[target]
    if kind.own is not None and target == kind.own:
        return _own_class(kind.own, kind)
    own = {
        ENCODER.package: "; a class of your own only if you name it, encoder._target_=",
        DATA.package: f"; {_DATA_AGAIN}",
        NESTED["augment"].package: f"; {_DATA_AGAIN}",
    }.get(kind.package, "")
    raise ValueError(
        f"{printable(origin)} wants to build {printable(target, 100)}; only what {kind.package}.* "
        "defines is built from a "
        f"checkpoint: {', '.join(name.rpartition('.')[2] for name in public_classes(kind))}{own}"
    )


def _own_class(name: str, kind: Kind) -> type:
    """A class that the command line names.

    Raises:
        ValueError: where there is none, or it is of another kind.
    """
    try:
        found = get_class(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name} cannot be imported: {' '.join(str(error).split())}") from error
    lacks = [attribute for attribute in kind.has if attribute not in dir(found)]
    if lacks:
        raise ValueError(
            f"{name} has no {' and no '.join(lacks)}; an encoder is what mim/encoder/encoder.py "
            "says"
        )
    return found


@cache
def public_classes(kind: Kind) -> dict[str, type]:
    """The public classes of a kind, by dotted name."""
    path = importlib.import_module(kind.package).__path__
    modules = [
        importlib.import_module(f"{kind.package}.{module.name}")
        for module in pkgutil.iter_modules(path)
    ]
    return {
        f"{module.__name__}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        # a contract is nothing to build
        if not inspect.isabstract(value) and Protocol not in value.__bases__
        if set(kind.has) <= set(dir(value))
    }


def _check(settings: object, kind: Kind, origin: str, what: str) -> None:
    if not isinstance(settings, dict) or "_target_" not in settings:
        raise ValueError(f"{printable(origin)}: {what} names no class (_target_) and its settings")
    target = class_of(settings["_target_"], kind, origin)
    allowed = {
        name: hint for name, hint in type_hints(target).items() if name in NESTED or is_plain(hint)
    }
    signature = inspect.signature(target).parameters
    required = [
        name
        for name, parameter in signature.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    for key, value in settings.items():
        if key in _HYDRA:
            continue
        where = f"{printable(origin)}: {what}.{printable(key, 60)}"
        if key not in signature or key not in allowed:
            raise ValueError(
                f"{where} is no setting of {target.__name__}; "
                f"{nearest(str(key), [name for name in signature if name in allowed])}"
            )
        if _is_nested(target, key):
            _check(value, NESTED[key], origin, f"{what}.{key}")
        else:
            check_value(where, value, allowed[key])
            _check_size(where, key, value)
    left = [name for name in required if name not in settings]
    if "_partial_" in settings and settings["_partial_"] is not (
        bool(left) and all(name not in allowed for name in left)
    ):
        raise ValueError(
            f"{printable(origin)}: {what}._partial_={settings['_partial_']!r} is not as our own "
            "configs have it"
        )
    if left and not settings.get("_partial_"):
        raise ValueError(
            f"{printable(origin)}: {what} lacks {', '.join(left)} of {target.__name__}"
        )


def _is_nested(target: type, key: str) -> bool:
    """Whether an argument is built itself: jitter of scenes is, that of colours is four numbers."""
    return key in NESTED and not is_plain(type_hints(target).get(key))


def _check_size(where: str, key: str, value: object) -> None:
    values = value if isinstance(value, list) else [value]
    if len(values) > LONGEST_LIST:
        raise ValueError(
            f"{where} is a list of {len(values):,} values; at most {LONGEST_LIST} are read"
        )
    for each in values:
        if key in LARGEST and isinstance(each, int | float) and each > LARGEST[key]:
            raise ValueError(
                f"{where}={each:,} is out of bounds; at most {LARGEST[key]:,} is taken from a file"
            )


def is_plain(hint: Hint) -> bool:
    """Whether a hint allows numbers, words, and lists of them alone."""
    if hint in (bool, int, float, str, None, type(None)) or get_origin(hint) is Literal:
        return True
    if get_origin(hint) is Annotated:
        return is_plain(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType, list, tuple, Sequence):
        return all(is_plain(each) for each in get_args(hint) if each is not Ellipsis)
    return False
