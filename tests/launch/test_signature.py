"""What a config is held against is read from source; it is what the classes themselves say."""

import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from torch import nn

from mim.launch.signature import imported, read

CONFIGS = Path(__file__).parents[2] / "configs"
NAMED = {
    name
    for file in CONFIGS.rglob("*.yaml")
    for name in re.findall(r"_target_: *([\w.]+\.\w+)", file.read_text())
    if not name.startswith("optuna.")  # of the sweeper, which is imported as it is
}


def written(hint: Any) -> Any:
    """A hint, with the names of classes instead of the classes."""
    origin = get_origin(hint)
    if origin is Callable:
        return "Callable"
    if origin in (Union, types.UnionType):
        return "Union", frozenset(written(each) for each in get_args(hint))
    if origin is Annotated:
        return "Annotated", written(hint.__origin__), *map(repr, hint.__metadata__)
    if origin is not None:
        return origin.__name__ if isinstance(origin, type) else str(origin), *map(
            written, get_args(hint)
        )
    return hint.__name__ if isinstance(hint, type) else str(hint)


@pytest.mark.parametrize("target", sorted(NAMED))
def test_the_source_says_what_the_class_says(target):
    there, here = imported(target), read(target)
    assert here[:4] == there[:4]
    assert {name: written(here.hint(name)) for name in here.parameters} == {
        name: written(there.hint(name)) for name in there.parameters
    }


@pytest.mark.parametrize("ask", [imported, read])
def test_a_module_without_a_constructor_takes_nothing(ask):
    assert ask("mim.masker.score.random.Random")[1:4] == ((), (), False)


def test_so_does_one_while_a_library_has_its_own_function_for_all_modules(monkeypatch):
    start = nn.Module.__init__
    monkeypatch.setattr(
        nn.Module, "__init__", lambda self, *args, **kwargs: start(self, *args, **kwargs)
    )
    assert imported("mim.masker.score.random.Random")[1:4] == ((), (), False)


def test_all_that_configs_name_is_looked_at():
    assert {"torch.optim.AdamW", "pytorch_lightning.Trainer", "mim.masker.masker.Masker"} < NAMED
    assert len(NAMED) > 90
