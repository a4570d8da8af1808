"""Facts of a training, in the words of the ledger: what is read off built objects."""

from typing import Any

CLASSES = 1000

Facts = dict[str, Any]


def named(name: str, values: Facts | None) -> Facts:
    """Facts under a name, or that there are none."""
    return (
        {name: None}
        if values is None
        else {f"{name}.{key}": value for key, value in values.items()}
    )
