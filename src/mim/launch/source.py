"""Modules read from source, so that a config is checked without importing torch, which takes
seconds.

What the source does not say plainly raises `Unreadable`, and whoever asks imports the class instead
(launch/signature.py).
"""

import ast
import sys
import types
from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, runtime_checkable

from mim.launch.hint import Hint, StandIn, Unreadable, evaluate

LIGHT = sys.stdlib_module_names | {"annotated_types", "typing_extensions", "omegaconf"}
"""Packages that are imported as they are: they take no time."""
LIGHT_OF_OURS = ("mim.ranges",)
"""Modules of ours that are, too."""


class Call(NamedTuple):
    """A function as it is written, and the module whose names it uses."""

    module: "Source"
    node: ast.FunctionDef

    @property
    def arguments(self) -> list[ast.arg]:
        """All of them, in order, `*args` and `**kwargs` too."""
        of = self.node.args
        several = [each for each in (of.vararg,) if each], [each for each in (of.kwarg,) if each]
        return [*of.posonlyargs, *of.args, *several[0], *of.kwonlyargs, *several[1]]

    @property
    def required(self) -> list[ast.arg]:
        """Those that have no default."""
        of = self.node.args
        by_place = [*of.posonlyargs, *of.args]
        by_name = zip(of.kwonlyargs, of.kw_defaults, strict=True)
        return [
            *by_place[: len(by_place) - len(of.defaults)],
            *(each for each, default in by_name if default is None),
        ]

    def hint(self, annotation: ast.expr) -> Hint:
        """What an annotation stands for; a class is a stand-in of its name, which no plain value is
        an instance of.

        Raises:
            Unreadable: the source does not say.
        """
        try:
            return self.module.evaluate(annotation)
        except (TypeError, SyntaxError) as error:
            raise Unreadable(ast.unparse(annotation)) from error


class Source:
    """A module that is read and not run.

    Args:
        name: of the module.
        spec: where it is.
    """

    def __init__(self, name: str, spec: ModuleSpec):
        self.name, self.is_package = name, spec.submodule_search_locations is not None
        if spec.origin is None or not spec.origin.endswith(".py"):
            raise Unreadable(name)
        self._bound: dict[str, Hint] = {}
        self._stars: list[ast.ImportFrom] = []
        for node in ast.parse(Path(spec.origin).read_bytes()).body:
            self._bound |= _bindings(node)
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self._stars.append(node)

    def find(self, name: str) -> Hint:
        """What a name of this module stands for: a value, a class's stand-in, a `Call` or a
        `Source`.

        Raises:
            Unreadable: the source does not say.
        """
        node = self._bound.get(name)
        if isinstance(node, ast.ImportFrom):
            (original,) = (
                alias.name for alias in node.names if name == (alias.asname or alias.name)
            )
            origin = self._absolute(node)
            return (
                member(module(origin), original)
                if origin != self.name
                else module(f"{origin}.{original}")
            )
        if isinstance(node, ast.Import):
            alias = next(
                alias
                for alias in node.names
                if name == (alias.asname or alias.name.partition(".")[0])
            )
            return module(alias.name if alias.asname else name)
        if isinstance(node, ast.ClassDef):
            return _stand_in(self, name)
        if isinstance(node, ast.FunctionDef):
            return Call(self, node)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            return self.evaluate(node.value)
        star = self._star(name)
        if star is None:
            raise Unreadable(f"{self.name}.{name}")
        return star.find(name)

    def has(self, name: str) -> bool:
        """Whether it binds a name."""
        return name in self._bound or self._star(name) is not None

    def _star(self, name: str) -> "Source | None":
        """The last of the modules from which all names are taken that has one."""
        origins = (module(self._absolute(node)) for node in reversed(self._stars))
        return next((each for each in origins if isinstance(each, Source) and each.has(name)), None)

    def class_of(self, name: str) -> ast.ClassDef | None:
        """A class that it defines."""
        node = self._bound.get(name)
        return node if isinstance(node, ast.ClassDef) else None

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        package = package[: len(package) - node.level + 1]
        return ".".join([*package, *([node.module] if node.module else [])])

    def evaluate(self, node: ast.expr) -> Hint:
        """An annotation, or what a name in it was set to.

        Raises:
            Unreadable: the source does not say.
        """
        return evaluate(node, self)

    def member(self, of: Hint, name: str) -> Hint:
        """`of.name`.

        Raises:
            Unreadable: the source does not say.
        """
        return member(of, name)


def _bindings(node: ast.stmt) -> dict[str, ast.stmt | None]:
    """Names that a statement of a module binds, and to what; None where that depends."""
    match node:
        case ast.ImportFrom(names=aliases):
            return {alias.asname or alias.name: node for alias in aliases}
        case ast.Import(names=aliases):
            return {alias.asname or alias.name.partition(".")[0]: node for alias in aliases}
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return {name: node}
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return {name: node}
        case ast.If(
            test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=rest
        ):
            return {name: bound for each in rest for name, bound in _bindings(each).items()}
        case ast.If() | ast.Try() | ast.With():
            inner = (
                each for each in ast.walk(node) if isinstance(each, ast.stmt) and each is not node
            )
            return {name: None for each in inner for name in _bindings(each)}
    return {}


def member(of: Hint, name: str) -> Hint:
    """What `of.name` stands for."""
    if not isinstance(of, Source):
        if isinstance(of, types.ModuleType) and hasattr(of, name):
            return getattr(of, name)
        raise Unreadable(name)
    return of.find(name) if of.has(name) or not of.is_package else module(f"{of.name}.{name}")


@cache
def module(name: str) -> Hint:
    """A module by its name: read, or where it is light, imported.

    Raises:
        Unreadable: where it has no source.
    """
    if name.partition(".")[0] in LIGHT or name in LIGHT_OF_OURS:
        return import_module(name)
    spec = _spec(name)
    if spec is None:
        raise Unreadable(name)
    return _Compiled(name) if isinstance(spec.loader, ExtensionFileLoader) else Source(name, spec)


class _Compiled(types.ModuleType):
    """A module without source; its classes are plain ones."""

    def __getattr__(self, name: str) -> Hint:
        return object if name[:1].isupper() else super().__getattribute__(name)


def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing the packages that it is in."""
    top, *rest = name.split(".")
    spec, path = find_spec(top), top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        path = f"{path}.{part}"
        spec = PathFinder.find_spec(path, list(spec.submodule_search_locations))
    return spec


@cache
def _stand_in(source: Source, name: str) -> type:
    """A class of the same name and bases, with what is needed of it: its constructor and, of a
    contract, its members.

    Raises:
        Unreadable: it is an enumeration, a data class or the like, which takes plain values in its
            own way.
    """
    node = source.class_of(name)
    assert node is not None
    decorators = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
    metaclasses = {ast.unparse(each.value).rpartition(".")[2] for each in node.keywords}
    functions = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
    if decorators - {"runtime_checkable"} or metaclasses - {"ABCMeta"} or "__new__" in functions:
        raise Unreadable(f"{name} is no plain class")
    bases = tuple(_bases(source, node))
    members: dict[str, object] = {"__module__": source.name, "__qualname__": name}
    if Protocol in bases:
        members |= dict.fromkeys(functions)
    elif "__init__" in functions:
        members["__init__"] = Call(source, functions["__init__"])
    if Protocol not in bases and not any(issubclass(base, StandIn) for base in bases):
        bases = (*bases, StandIn)
    made = types.new_class(name, bases, exec_body=lambda space: space.update(members))
    return runtime_checkable(made) if decorators else made


def _bases(source: Source, node: ast.ClassDef) -> Iterator[type]:
    for each in node.bases:
        base = source.evaluate(each.value if isinstance(each, ast.Subscript) else each)
        if base in (Generic, object):
            continue
        if not isinstance(base, type) or issubclass(base, Enum):
            raise Unreadable(f"{node.name} is a {ast.unparse(each)}")
        yield base
