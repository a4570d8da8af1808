"""Hold one value of a config against a type hint."""

from types import UnionType
from typing import Protocol, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)
from pydantic_core import ErrorDetails, SchemaError

from mim.launch.hint import Hint
from mim.ranges import refuse_outside


def check_value(path: str, value: object, hint: Hint) -> None:
    """Refuse a value that a hint does not allow.

    Raises:
        ValueError: one line, `path` first.
    """
    refuse_outside(path, value, hint)
    try:
        meant = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            value
        )
    except ValidationError as error:
        reasons = {_reason(e) for e in error.errors()}
        raise ValueError(
            f"{path}={value!r} does not fit; it should be {' or '.join(sorted(reasons))}"
        ) from error
    except (
        PydanticSchemaGenerationError,
        PydanticUndefinedAnnotation,
        PydanticUserError,
        SchemaError,
        TypeError,
    ):
        # a type that only its own library understands; a contract of ours is met by what is built,
        # and by no plain value
        if _is_contract(hint) and not isinstance(value, dict) and type(value) not in get_args(hint):
            group = (
                f"{path.rpartition('.')[2]}=... chooses one"
                if value is None
                else "as a group chooses it"
            )
            raise ValueError(
                f"{path}={value!r} does not fit; it should be a part; {group}"
            ) from None
        return
    if not _is_said_plainly(value, meant):  # what is built gets the value as it was written
        fix = (
            f"write {meant!r}"
            if isinstance(meant, bool | int | float | list | tuple | dict)
            else "it cannot be a number"
        )
        raise ValueError(f"{path}={value!r} does not fit; {fix}")


def _is_contract(hint: Hint) -> bool:
    """Whether a hint is a contract of ours, or something else instead of one."""
    either = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any(isinstance(each, type) and Protocol in each.__bases__ for each in either)


def _reason(error: ErrorDetails) -> str:
    """One of pydantic's reasons, after "it should be"."""
    match error["type"]:
        case "missing":
            return "longer"
        case "string_too_short":
            return "a word that is not empty"
        case "sequence_str":
            return "a list"
        case _:
            said = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            return said.partition(", unable to parse")[0]


def _is_said_plainly(value: object, meant: object) -> bool:
    """Whether nothing had to be read into a value: `no` for false would be taken as true, and 1.0
    for 1 is no count.
    """
    if isinstance(value, list | tuple) and isinstance(meant, list | tuple):
        return all(_is_said_plainly(*pair) for pair in zip(value, meant, strict=True))
    if isinstance(value, dict) and isinstance(meant, dict):
        return all(_is_said_plainly(value[key], meant[key]) for key in value if key in meant)
    if isinstance(value, bool) or isinstance(meant, bool):
        return type(value) is type(meant)
    if isinstance(meant, int):
        return isinstance(value, int)
    if isinstance(meant, float):
        return isinstance(value, int | float)
    return not isinstance(value, int | float)
