"""Numbers of one recipe that follow from each other: what a run is not held against is held against
the rest of its recipe.
"""

import math
from collections.abc import Callable

import pytest

from mim.paper.ledger import Recipe, find, papers, read_recipes

RECIPES = [recipe for paper in papers() for recipe in read_recipes(paper).values()]
SPLIT = [f"images_split.{name}" for name in ("processes", "per_process", "accumulate")]


def of_share(masked: float, thrown: float, patches: float, ratio: float, cell: float) -> bool:
    """Masked patches are the ratio, rounded to whole cells; those that are thrown may be of it."""
    return any(abs(count - patches * ratio) < cell**2 for count in (masked, masked + thrown))


RULES: dict[tuple[str, ...], Callable[..., bool]] = {
    ("lr.peak", "lr.base", "images_per_step", "lr.per_images"): lambda peak, base, images, each: (
        math.isclose(peak, base * images / each, rel_tol=1e-3)
    ),
    ("images_per_step", *SPLIT): lambda images, *split: images == math.prod(split),
    ("mask.patches", "mask.masked", "mask.visible", "mask.thrown"): lambda patches, *counts: (
        patches == sum(counts)
    ),
    ("mask.masked", "mask.thrown", "mask.patches", "mask.ratio", "mask.cell"): of_share,
    ("factor_of_layer_0", "layer_decay", "encoder.depth"): lambda factor, decay, depth: (
        math.isclose(factor, decay ** (depth + 1), rel_tol=1e-3)
    ),
}
"""What holds of the numbers of these fields, by the fields; of a recipe that has all of them."""


def numbers(recipe: Recipe, fields: tuple[str, ...]) -> list[float]:
    """Values of fields that are numbers: the source's, or ours where it has none."""
    found = []
    for field in fields:
        for where in (lambda name: find(recipe.source, name), recipe.expected):
            try:
                value = where(field)
            except KeyError:
                continue
            if isinstance(value, int | float):
                found.append(value)
                break
    return found


@pytest.mark.parametrize("fields", RULES, ids=lambda fields: fields[0])
def test_numbers_of_a_recipe_go_together(fields):
    compared = 0
    for recipe in RECIPES:
        values = numbers(recipe, fields)
        scaled = "lr.peak" in fields and "scaled" in dict(recipe.source.get("lr") or {})
        if len(values) == len(fields) and not scaled:
            assert RULES[fields](*values), (
                f"{recipe.name}: {dict(zip(fields, values, strict=True))}"
            )
            compared += 1
    assert compared > 10
