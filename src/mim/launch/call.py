"""Calls read from source: what calling a class or a function calls, by its dotted name."""

import ast

from mim.launch.hint import Hint, StandIn, Unreadable
from mim.launch.source import Call, Source, member, module
from mim.ranges import in_range

TAKES_NOTHING = "torch.nn.modules.module"
"""Module of torch's `nn.Module`, whose constructor is written with `*args` and `**kwargs`, and
refuses them.
"""


def call_of(target: str) -> Call | None:
    """What calling a class or a function calls, by its dotted name; None for a class without a
    constructor of its own.

    Raises:
        Unreadable: the source does not say.
    """
    of, _, name = target.rpartition(".")
    found = _own_constructor(module(of), name) or member(module(of), name)
    if isinstance(found, Call):
        return _as_written(found)
    if not isinstance(found, type) or not issubclass(found, StandIn):
        raise Unreadable(target)
    calls = (each.__dict__.get("__init__") for each in found.__mro__)
    call = next((each for each in calls if isinstance(each, Call)), None)
    if call is None or call.module.name == TAKES_NOTHING:
        return None
    return _as_written(call)


def _own_constructor(source: Hint, name: str) -> Call | None:
    """Of a class that has one itself; of what it inherits, nothing needs to be read."""
    node = source.class_of(name) if isinstance(source, Source) else None
    if node is None or node.decorator_list or node.keywords:
        return None
    functions = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
    return (
        Call(source, functions["__init__"])
        if "__init__" in functions and "__new__" not in functions
        else None
    )


def _as_written(call: Call) -> Call:
    """A function whose decorators, if it has any, leave its signature as it is, which is what
    `functools.wraps` does.

    Raises:
        Unreadable: where one may not.
    """
    for decorator in call.node.decorator_list:
        made = call.module.evaluate(decorator)
        if made is in_range:
            continue
        inner = ast.walk(made.node) if isinstance(made, Call) else ()
        wraps = [
            ast.unparse(word)
            for each in inner
            if isinstance(each, ast.FunctionDef)
            for word in each.decorator_list
        ]
        if not any(word.removeprefix("functools.").startswith("wraps(") for word in wraps):
            raise Unreadable(f"{call.node.name} is decorated")
    return call
