"""Cases that repeat a check in another setting, for `make slow`."""

import pytest


def slow(*values: object, **named: str):
    """A case of `pytest.mark.parametrize` that only `make slow` runs."""
    return pytest.param(*values, marks=pytest.mark.slow, **named)


def quick(cases, *names: str) -> list:
    """All names of a table of cases, of which `make test` runs those that are named."""
    assert set(names) <= set(cases), f"{set(names) - set(cases)} are no cases"
    return [name if name in names else slow(name) for name in cases]
