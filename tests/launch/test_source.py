"""What can be read from source is read, and nothing is guessed."""

import ast
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from mim.launch.call import call_of
from mim.launch.hint import Unreadable
from mim.launch.source import Call
from mim.launch.values import check_value

PACKAGE = {
    "__init__": "raise RuntimeError('imported')\n",
    "names": "from annotated_types import Ge\nfrom typing import Annotated\nSmall = Annotated[int, "
    "Ge(2**3 - 1)]\n"
    "Words = 'list[str]'\nclass Base:\n    def __init__(self, size: Small):\n        ...\n",
    "stars": "from .names import *\n",
    "deep.__init__": "from ..stars import Base as Renamed\n",
    "deep.kinds": """
from __future__ import annotations
import enum, functools
import typing as t
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Optional, runtime_checkable
from torch import Tensor, nn
from . import Renamed
from .. import names
from ..names import Small
if TYPE_CHECKING:
    from ..names import Words
try:
    import fast
except ImportError:
    fast = None

class Colour(enum.Enum):
    RED = 1

class Pair(NamedTuple):
    a: int

@dataclass
class Data:
    a: int

@runtime_checkable
class Contract(Protocol):
    def act(self): ...

class Child(Renamed):
    '''Takes what its parent takes.'''

class Middle(Renamed):
    pass

class Left(Middle):
    pass

class Right(Renamed):
    def __init__(self, other: int):
        ...

class Diamond(Left, Right):
    '''Its constructor is that of Right, which is nearer than Renamed's.'''

class Made:
    def __new__(cls, a: int):
        ...
    def __init__(self, b: int):
        ...

class Meta(metaclass=type):
    pass

class Nothing:
    pass

def wrapping(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)
    return inner

def other(function):
    def inner(a, b):
        return function(a)
    return inner

@wrapping
def wrapped(a: int): ...

@other
def hidden(a: int): ...

def all_kinds(a, /, b: int, *rest: str, c: 'Literal["x", "Small"]' = "x", **more: t.Any): ...

def hints(
    small: Small, words: names.Words, tensor: Tensor | None, module: Optional[nn.Module],
    call: Callable[[Pair], int], contract: Contract, nested: Mapping[str, Renamed],
    colour: Colour, pair: Pair, data: Data, guarded: Words,
    unknown: Nowhere, conditional: fast.Thing, computed: max(int, str),
): ...
""",
}


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    root = tmp_path_factory.mktemp("read")
    for name, text in PACKAGE.items():
        file = root.joinpath("onlyread", *name.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root))
        yield


def call(name: str) -> Call | None:
    return call_of(f"onlyread.deep.kinds.{name}")


def names(name: str) -> list[str]:
    found = call(name)
    return [each.arg for each in found.arguments] if found else []


def hint(name: str) -> Any:
    found = call("hints")
    (annotation,) = (each.annotation for each in found.arguments if each.arg == name)
    return found.hint(annotation)


def test_names_of_arguments_are_in_their_order():
    assert names("all_kinds") == ["a", "b", "rest", "c", "more"]
    assert call("all_kinds").node.args.kwarg is not None
    assert call("hints").node.args.kwarg is None


def test_a_constructor_is_found_where_python_finds_it():
    assert names("Child") == ["self", "size"]
    assert names("Diamond") == ["self", "other"]
    assert call("Nothing") is None


def test_a_wrapper_that_keeps_the_signature_is_seen_through():
    assert names("wrapped") == ["a"]


@pytest.mark.parametrize(
    "name", ["Colour", "Pair", "Data", "Made", "Meta", "hidden", "Nowhere", "fast", "Small"]
)
def test_what_the_source_does_not_say_is_not_guessed(name):
    with pytest.raises(Unreadable):
        call(name)


@pytest.mark.parametrize(
    "name", ["colour", "pair", "data", "guarded", "unknown", "conditional", "computed"]
)
def test_hints_that_the_source_does_not_say_are_not_guessed(name):
    with pytest.raises(Unreadable):
        hint(name)


def test_hints_are_those_that_are_written():
    assert hint("small") == Annotated[int, Ge(7)]
    assert hint("words") == list[str]
    assert hint("call") is Callable
    assert hint("nested").__origin__ is Mapping
    (annotation,) = (each.annotation for each in call("all_kinds").arguments if each.arg == "c")
    assert isinstance(annotation, ast.Constant)
    assert call("all_kinds").hint(annotation) == Literal["x", "Small"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tensor", 3, "x=3 does not fit; it should be an instance of Tensor"),
        ("module", "relu", "x='relu' does not fit; it should be an instance of Module"),
        ("contract", 3, "x=3 does not fit; it should be an instance of Contract"),
        ("small", 6, "x=6 does not fit; it should be at least 7"),
    ],
)
def test_a_stand_in_is_spoken_of_by_the_name_of_its_class(name, value, words):
    with pytest.raises(ValueError, match="x=") as refused:
        check_value("x", value, hint(name))
    assert str(refused.value) == words


def test_a_module_that_is_not_there_is_not_read():
    for target in (
        "nowhere.A",
        "onlyread.nowhere.A",
        "onlyread.names.nowhere.A",
        "torch._C.Generator",
    ):
        with pytest.raises(Unreadable):
            call_of(target)
