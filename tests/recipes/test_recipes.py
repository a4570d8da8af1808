"""Every experiment builds what its paper says, and every recipe of a paper is built."""

from itertools import islice
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mim.paper.ledger import Recipe, papers, read_recipes
from tests.recipes.built import training
from tests.recipes.compare import differences, differing_facts
from tests.recipes.dense import dense_training
from tests.recipes.mutations import mutations
from tests.recipes.probed import probe
from tests.recipes.views import draw_pictures

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiment"
OF_NO_PAPER = {
    "budget/vit_base_one_gpu",
    "budget/vit_small_one_day",
    "own/continue",
    "simmim/cifar10_vit_pico",
    "simmim/digits_beit_pico",
}
RECIPES = {name: recipe for paper in papers() for name, recipe in read_recipes(paper).items()}
DENSE = ("detect", "segment")
TRAININGS = [
    r for r in RECIPES.values() if r.kind in ("pretrain", "finetune", *DENSE) and r.command
]
PROBES = [
    r
    for r in RECIPES.values()
    if r.kind == "linear_probe" and r.command and "stated" not in r.source
]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


def compared(recipe: Recipe, composed: DictConfig, pictures: Path) -> list[str]:
    """What a command builds otherwise than its recipe says."""
    if recipe.kind == "linear_probe":
        return differing_facts(recipe, probe(composed, pictures))
    built = dense_training(composed) if recipe.kind in DENSE else training(composed, pictures)
    return differences(recipe, built)


@pytest.fixture
def composed_recipe(composed_command):
    """The config of a recipe's command."""
    return lambda recipe: composed_command(
        recipe.command + (" checkpoint=run" if recipe in PROBES else "")
    )


@pytest.mark.parametrize("recipe", [*TRAININGS, *PROBES], ids=lambda recipe: recipe.name)
def test_what_is_built_is_what_the_recipe_says(composed_recipe, pictures, recipe: Recipe):
    found = compared(recipe, composed_recipe(recipe), pictures)
    assert not found, "\n".join(found)


def survivors(recipe: Recipe, composed: DictConfig, pictures: Path, every: int = 1) -> list[str]:
    """Settings that can be changed, one of so many, without being refused or told apart from the
    recipe.
    """
    found = []
    for path, value, other in islice(mutations(composed), len(recipe.name) % every, None, every):
        changed = composed.copy()
        OmegaConf.update(changed, path, other, force_add=True)
        try:
            noticed = bool(compared(recipe, changed, pictures))
        except Exception:  # refused, by whatever is built
            noticed = True
        if not noticed:
            found.append(f"{recipe.name}: {path}={other} instead of {value}")
    return found


def test_a_changed_setting_is_noticed(composed_recipe, pictures):
    """Some settings of some experiments; `make recipes` changes every one of all."""
    for recipe in [*TRAININGS[::40], *PROBES[::16]]:
        assert not survivors(recipe, composed_recipe(recipe), pictures, every=9)


@pytest.mark.recipes
@pytest.mark.parametrize("recipe", [*TRAININGS, *PROBES], ids=lambda recipe: recipe.name)
def test_every_changed_setting_is_noticed(composed_recipe, pictures, recipe: Recipe):
    composed = composed_recipe(recipe)
    assert len(list(mutations(composed))) > 10
    assert not survivors(recipe, composed, pictures)


def test_every_experiment_has_a_recipe():
    files = EXPERIMENTS.glob("**/*.yaml")
    experiments = {str(file.relative_to(EXPERIMENTS).with_suffix("")) for file in files}
    named = {
        r.command.partition("experiment=")[2].split()[0]
        for r in TRAININGS
        if "experiment=" in r.command
    }
    assert experiments - named == OF_NO_PAPER
    assert named <= experiments
