"""Values of annotations as they are written, by names whose modules are read and not imported."""

import ast
import builtins
import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal, Protocol

_ARITHMETIC: dict[type[ast.operator], Callable[[object, object], object]] = {
    ast.Pow: operator.pow,
    ast.Mult: operator.mul,
    ast.Sub: operator.sub,
    ast.Add: operator.add,
}

RULES = ("annotated_types", "mim.ranges")
"""Modules of what an `Annotated` says of a value."""
Hint = Any
"""Type that an annotation says: classes, unions and `Annotated` have no type in common."""


class Unreadable(Exception):
    """The source does not say; the class itself does."""


class Names(Protocol):
    """Names that an expression may use."""

    def has(self, name: str) -> bool:
        """Whether it is one of them."""

    def find(self, name: str) -> Hint:
        """What it stands for."""

    def member(self, of: Hint, name: str) -> Hint:
        """What `of.name` stands for."""


class StandIn:
    """Of a class that is read and not imported: its name, its bases and its constructor."""


def evaluate(node: ast.expr, names: Names) -> Hint:
    """Value of an annotation, or of what a name in it was set to.

    Args:
        node: the expression.
        names: those that it may use.

    Raises:
        Unreadable: the source does not say.
    """
    match node:
        case ast.Constant(value=str() as text):
            return evaluate(ast.parse(text.strip(), mode="eval").body, names)
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return (
                names.find(name)
                if names.has(name) or name not in vars(builtins)
                else vars(builtins)[name]
            )
        case ast.Attribute(value=of, attr=name):
            return names.member(evaluate(of, names), name)
        case ast.Subscript(value=of, slice=inside):
            return _subscript(evaluate(of, names), inside, names)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return evaluate(left, names) | evaluate(right, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _ARITHMETIC[type(op)](evaluate(left, names), evaluate(right, names))
        case ast.Tuple(elts=parts):
            return tuple(evaluate(part, names) for part in parts)
        case ast.List(elts=parts):
            return [evaluate(part, names) for part in parts]
        case ast.Call(func=function, args=arguments, keywords=[]) if not any(
            isinstance(each, ast.Starred) for each in arguments
        ):
            called = evaluate(function, names)
            if not isinstance(called, type) or called.__module__ not in RULES:
                raise Unreadable(ast.unparse(node))
            return called(*(evaluate(each, names) for each in arguments))
    raise Unreadable(ast.unparse(node))


def _subscript(of: Hint, inside: ast.expr, names: Names) -> Hint:
    if of is Literal:  # words, not the names of classes
        parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
        if not all(isinstance(part, ast.Constant) for part in parts):
            raise Unreadable(ast.unparse(inside))
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    if of is Callable:
        return of  # what it takes and returns shows only when it is called
    if isinstance(of, type) and issubclass(of, StandIn):
        raise Unreadable(f"{of.__name__}[...]")
    if of is Annotated and isinstance(inside, ast.Tuple):
        kind, *rules = inside.elts
        said = (r.value if isinstance(r, ast.Constant) else evaluate(r, names) for r in rules)
        return Annotated[(evaluate(kind, names), *said)]
    return of[evaluate(inside, names)]
