"""What numbers may be, as hints: a composed config is held against them before anything is built
(launch/check.py), and a constructor that is `in_range` holds what it is given against its own, in
the same words.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import chain, pairwise, repeat
from numbers import Integral, Real
from operator import ge, gt, le, lt
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen

P = ParamSpec("P")
_LARGE = 2**31
"""A bound that goes without saying where it is kept."""
_BOUNDS = {Gt: ("more than", gt), Ge: ("at least", ge), Lt: ("less than", lt), Le: ("at most", le)}


class Rising(NamedTuple):
    """Rule of a list of numbers: none is smaller than the one before.

    Args:
        strictly: each is larger than the one before.
    """

    strictly: bool = False

    def holds(self, values: Sequence[object]) -> bool:
        """Whether the numbers among them rise."""
        steps = pairwise(each for each in values if isinstance(each, int | float))
        return all(low < high or (low == high and not self.strictly) for low, high in steps)


Count = Annotated[int, Ge(1), Lt(_LARGE)]
TwoOrMore = Annotated[int, Ge(2), Lt(_LARGE)]
Counts = Count | Annotated[Sequence[Count], MinLen(1)]
Size = Count | tuple[Count, Count]
"""Pixels per side, or (height, width)."""
NonNegativeInt = Annotated[int, Ge(0), Lt(_LARGE)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""What NumPy takes."""
Positive = Annotated[float, Gt(0)]
Positives = Positive | Annotated[Sequence[Positive], MinLen(1)]
NotNegative = Annotated[float, Ge(0)]
NotNegatives = NotNegative | Annotated[Sequence[NotNegative], MinLen(1)]
Share = Annotated[float, Ge(0), Le(1)]
Rate = Annotated[float, Ge(0), Lt(1)]
"""A share that leaves something."""
SomeShare = Annotated[float, Gt(0), Le(1)]
"""A share of something."""
Fraction = Annotated[float, Gt(0), Lt(1), "e.g. 0.5"]
"""A share of something that leaves something."""
Span = Annotated[tuple[Positive, Positive], Rising(), "e.g. [0.75,1.3333]"]
"""Lowest and highest of positive numbers."""
Shares = Annotated[tuple[SomeShare, SomeShare], Rising(), "e.g. [0.2,1.0]"]
"""Lowest and highest of shares."""


def in_range(constructor: Callable[P, None]) -> Callable[P, None]:
    """Constructor that refuses numbers outside the ranges of its own signature, by a ValueError."""
    hints = constructor.__annotations__
    names = constructor.__code__.co_varnames

    @wraps(constructor)
    def checked(*args: P.args, **kwargs: P.kwargs) -> None:
        for name, value in (dict(zip(names, args, strict=False)) | kwargs).items():
            refuse_outside(f"{type(args[0]).__name__}.{name}", value, hints.get(name))
        constructor(*args, **kwargs)

    return checked


def refuse_outside(name: str, value: object, hint: Any) -> None:
    """Refuse numbers outside the range of a hint.

    Raises:
        ValueError: one line, `name` first: what was given and what is allowed.
    """
    allowed = _outside(value, hint)
    if allowed:
        given = list(value) if isinstance(value, Sequence) else value
        raise ValueError(f"{name}={given!r} does not fit; it should be {allowed}")


def _outside(value: object, hint: Any) -> str | None:
    """What a hint allows instead of a value, empty where the value is inside; None where it has no
    range for such values.
    """
    if get_origin(hint) in (Union, UnionType):
        said = [
            allowed for each in get_args(hint) if (allowed := _outside(value, each)) is not None
        ]
        return None if not said else "" if "" in said else " or ".join(dict.fromkeys(said))
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else None
    kind, *rules = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    if isinstance(value, Real) and not isinstance(value, bool):
        if kind is float or (kind is int and isinstance(value, Integral)):
            return _words(rules, value)
        return None
    if (parts := _parts(value, kind)) is None:
        return None
    length = len(get_args(kind))
    if get_origin(kind) is tuple and get_args(kind)[-1] is not ... and len(parts) != length:
        return f"{length} values{_example(rules)}"
    return _words_of_list(parts, rules)


def _words_of_list(parts: Sequence[tuple[Any, Any]], rules: Sequence[object]) -> str:
    """A range of each of several numbers, and of all of them, in words; empty where they fit."""
    within = next((allowed for allowed in (_outside(*each) for each in parts) if allowed), "")
    orders = [rule for rule in rules if isinstance(rule, Rising)]
    least = max((rule.min_length for rule in rules if isinstance(rule, MinLen)), default=0)
    is_ordered = all(rule.holds([each for each, _ in parts]) for rule in orders)
    if is_ordered and not within and len(parts) >= least:
        return ""
    several = f"{least} or more " * bool(least) + "rising " * bool(orders) + "numbers"
    return several + f", each {within}" * bool(within) + _example(rules)


def _parts(value: object, kind: Any) -> list[tuple[Any, Any]] | None:
    """Values in a list or a mapping, each with its hint; None where the hint is of neither."""
    of, args = get_origin(kind), get_args(kind)
    if isinstance(value, Mapping):
        is_map = isinstance(of, type) and issubclass(of, Mapping)
        return [(each, args[1]) for each in value.values()] if is_map else None
    if isinstance(value, str) or not isinstance(value, Sequence):
        return None
    if of is tuple and args[-1] is not ...:
        return list(zip(value, chain(args, repeat(Any)), strict=False))
    is_list = isinstance(of, type) and issubclass(of, Sequence)
    return [(each, args[0]) for each in value] if is_list else None


def _words(rules: Sequence[object], value: Any) -> str:
    """A range in words, empty where a number is in it: `more than 0 and at most 1, e.g. 0.5`."""
    said, is_inside = [], True
    for rule in rules:
        if type(rule) not in _BOUNDS:
            continue
        words, compare = _BOUNDS[type(rule)]
        limit = getattr(rule, compare.__name__)
        is_inside &= (kept := compare(value, limit))
        if not kept or limit < _LARGE:
            said.append(f"{words} {limit}")
    return "" if is_inside else " and ".join(said) + _example(rules)


def _example(rules: Sequence[object]) -> str:
    """The last that is given, after a comma."""
    return "".join([f", {rule}" for rule in rules if isinstance(rule, str)][-1:])
