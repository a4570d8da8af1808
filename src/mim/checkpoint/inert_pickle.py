"""Read a pickle without making any object of it: classes stay names, and objects stay a name,
arguments and a state.
"""

import io
import pickle
import struct
from collections.abc import Callable, Collection
from typing import Any, ClassVar, Protocol


class Name(str):
    """A class or a function that a pickle names, `torch.Size`."""

    __slots__ = ()


class Record:
    """An object that a pickle describes."""

    def __init__(self, name: Name, arguments: object):
        self.name, self.arguments = str(name), arguments
        self.state: object = None


def read_pickle(content: bytes, names: Collection[str]) -> object:
    """Dictionaries, lists, tuples, text and numbers of a pickle, and a `Name` or a `Record` for
    everything else.

    Args:
        content: the pickle.
        names: what it may name.

    Raises:
        UnpicklingError: where it names anything else, does what no description needs, or is
            damaged.
    """
    try:
        return _Unpickler(io.BytesIO(content), names).load()
    except (
        EOFError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        ArithmeticError,
        AssertionError,
        struct.error,
    ) as error:
        raise pickle.UnpicklingError(f"{type(error).__name__} {error}") from error


class _Stack(Protocol):
    """Python's reader, as far as the steps here need it."""

    stack: list[object]
    append: Callable[[object], None]

    def pop_mark(self) -> list[object]:
        """What was put on the stack since the last mark."""


def _make(reader: _Stack) -> None:
    """What a class or a function would be called for."""
    arguments, name = reader.stack.pop(), reader.stack.pop()
    if type(name) is not Name:
        raise pickle.UnpicklingError("it calls what is no class")
    reader.append(Record(name, arguments))


def _give_state(reader: _Stack) -> None:
    state, record = reader.stack.pop(), reader.stack[-1]
    if type(record) is not Record or record.state is not None:
        raise pickle.UnpicklingError("it changes what is no object")
    record.state = state


def _set_item(reader: _Stack) -> None:
    value, key = reader.stack.pop(), reader.stack.pop()
    _set(reader.stack[-1], key, value)


def _set_items(reader: _Stack) -> None:
    items = reader.pop_mark()
    for key, value in zip(items[::2], items[1::2], strict=True):
        _set(reader.stack[-1], key, value)


def _set(table: object, key: object, value: object) -> None:
    # a tuple in tuples takes for ever to be a key
    if type(key) not in (str, Record) or type(table) is not dict:
        raise pickle.UnpicklingError("its dictionaries have keys that are no names")
    table[key] = value


_PLAIN = (
    pickle.PROTO,
    pickle.FRAME,
    pickle.STOP,
    pickle.MARK,
    pickle.POP,
    pickle.NONE,
    pickle.NEWTRUE,
    pickle.NEWFALSE,
    pickle.BININT,
    pickle.BININT1,
    pickle.BININT2,
    pickle.LONG1,
    pickle.BINFLOAT,
    pickle.BINUNICODE,
    pickle.SHORT_BINUNICODE,
    pickle.EMPTY_TUPLE,
    pickle.TUPLE1,
    pickle.TUPLE2,
    pickle.TUPLE3,
    pickle.TUPLE,
    pickle.EMPTY_LIST,
    pickle.APPEND,
    pickle.APPENDS,
    pickle.EMPTY_DICT,
    pickle.BINGET,
    pickle.LONG_BINGET,
    pickle.BINPUT,
    pickle.LONG_BINPUT,
    pickle.MEMOIZE,
    pickle.GLOBAL,
    pickle.STACK_GLOBAL,
)
_STEPS = {op[0]: pickle._Unpickler.dispatch[op[0]] for op in _PLAIN}


class _Unpickler(pickle._Unpickler):
    """Python's own, of which each step can be chosen, with the steps that make nothing."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_STEPS,
        **{op[0]: _make for op in (pickle.NEWOBJ, pickle.REDUCE)},
        pickle.BUILD[0]: _give_state,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
    }

    def __init__(self, stream: io.BytesIO, names: Collection[str]):
        super().__init__(stream)
        self.names = names

    def find_class(self, module: str, name: str) -> Name:
        """The name itself.

        Raises:
            UnpicklingError: where it is not allowed.
        """
        if f"{module}.{name}" not in self.names:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return Name(f"{module}.{name}")
