"""What a class or a function takes, by its dotted name: read from source where that says it, else
from the class itself.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from hydra.utils import get_object

from mim.launch.call import TAKES_NOTHING, call_of
from mim.launch.hint import Hint, Unreadable
from mim.launch.source import Call

READ = ("hydra_plugins", "mim", "pytorch_lightning", "timm", "torch")
"""Packages whose source is read; a class of a user's own is imported, so that what fails in its
module is said at once.
"""


class Signature(NamedTuple):
    """Of a target.

    Attributes:
        name: of the class or the function.
        parameters: their names, in order.
        required: those of them that have no default.
        takes_any: whether it takes other names too.
        hint: the type that a parameter is written with, by its name; `Any` where there is none.
    """

    name: str
    parameters: tuple[str, ...]
    required: tuple[str, ...]
    takes_any: bool
    hint: Callable[[str], Hint]


def signature_of(target: Hint) -> Signature:
    """Of a dotted name, as a config gives it.

    Raises:
        ImportError, AttributeError, ValueError: there is no such thing, as Hydra says it.
        TypeError: it is nothing that can be called.
    """
    return _known(target) if isinstance(target, str) else imported(target)


@cache
def _known(target: str) -> Signature:
    try:
        return read(target)
    except Unreadable:
        return imported(target)


def read(target: str) -> Signature:
    """Out of the source. A hint that the source does not say is that of the class, which is
    imported for it.

    Raises:
        Unreadable: the source does not say what the target takes, or is not to be read.
    """
    if target.partition(".")[0] not in READ:
        raise Unreadable(target)
    call = call_of(target)
    arguments = call.arguments if call else []

    def hint(name: str) -> Hint:
        annotation = next((each.annotation for each in arguments if each.arg == name), None)
        try:
            return Any if call is None or annotation is None else call.hint(annotation)
        except Unreadable:
            return imported(target).hint(name)

    names = tuple(each.arg for each in arguments)[_first(call) :]
    required = tuple(each.arg for each in call.required)[_first(call) :] if call else ()
    takes_any = bool(call and call.node.args.kwarg)
    return Signature(target.rpartition(".")[2], names, required, takes_any, hint)


def _first(call: Call | None) -> int:
    """Where what is given begins: a constructor's first argument is the object."""
    return int(call is not None and call.node.name == "__init__")


def imported(target: str) -> Signature:
    """Of the class or the function itself.

    Raises:
        ImportError, AttributeError, ValueError: there is no such thing, as Hydra says it.
        TypeError: it is nothing that can be called.
    """
    found = get_object(target)
    parameters = {} if _has_no_constructor(found) else inspect.signature(found).parameters
    hints = type_hints(found)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = tuple(
        name
        for name, each in parameters.items()
        if each.default is each.empty and each.kind not in several
    )
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return Signature(
        found.__name__, tuple(parameters), required, takes_any, lambda name: hints.get(name, Any)
    )


def _has_no_constructor(found: Hint) -> bool:
    """Whether a module of torch has that of `nn.Module`. The first `torch.compile` of a process
    puts a function of its own there for good (torch/_dynamo/mutation_guard.py), so the class is
    asked that has it, and not the function.
    """
    bases = found.__mro__ if inspect.isclass(found) else ()
    owner = next((base for base in bases if "__init__" in vars(base)), None)
    return owner is not None and owner.__module__ == TAKES_NOTHING


def type_hints(target: Hint) -> dict[str, Hint]:
    """Of what a class or a function takes, by name."""
    try:
        return get_type_hints(
            target.__init__ if inspect.isclass(target) else target, include_extras=True
        )
    except Exception:  # a library's annotations may not resolve; its own checks still apply
        return {}
