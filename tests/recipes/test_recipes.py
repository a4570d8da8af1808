"""Every experiment builds what its paper says, and every recipe of a paper is built."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mim.paper.ledger import Recipe, papers, read_recipes
from tests.recipes.built import training
from tests.recipes.compare import differences, differing_facts
from tests.recipes.mutations import mutations
from tests.recipes.probed import probe
from tests.recipes.views import draw_pictures

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiment"
OF_NO_PAPER = {"simmim/cifar10_vit_pico", "simmim/digits_beit_pico"}
RECIPES = {name: recipe for paper in papers() for name, recipe in read_recipes(paper).items()}
TRAININGS = [r for r in RECIPES.values() if r.kind in ("pretrain", "finetune") and r.command]
PROBES = [r for r in RECIPES.values() if r.kind == "linear_probe" and r.command and "stated" not in r.source]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("recipe", TRAININGS, ids=lambda recipe: recipe.name)
def test_a_training_is_built_as_its_recipe_says(composed_command, pictures, recipe: Recipe):
    found = differences(recipe, training(composed_command(recipe.command), pictures))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("recipe", PROBES, ids=lambda recipe: recipe.name)
def test_a_probe_is_built_as_its_recipe_says(composed_command, pictures, recipe: Recipe):
    found = differing_facts(recipe, probe(composed_command(f"{recipe.command} checkpoint=run"), pictures))
    assert not found, "\n".join(found)


def mutants(recipe: Recipe, composed: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    """A recipe's command with one setting changed, and which."""
    for path, value, other in mutations(composed):
        changed = composed.copy()
        OmegaConf.update(changed, path, other, force_add=True)
        yield f"{recipe.name}: {path}={other} instead of {value}", changed


def survives(recipe: Recipe, changed: DictConfig, pictures: Path) -> bool:
    """Whether a changed command is neither refused nor told apart from its recipe."""
    try:
        return not differences(recipe, training(changed, pictures))
    except Exception:  # refused, by whatever is built
        return False


def test_a_changed_setting_is_noticed(composed_command, pictures):
    """One setting in forty of all experiments; `make recipes` changes every one."""
    changes = [(r, *mutant) for r in TRAININGS for mutant in mutants(r, composed_command(r.command))]
    assert len(changes) > 1000
    assert not [name for recipe, name, changed in changes[::40] if survives(recipe, changed, pictures)]


@pytest.mark.recipes
@pytest.mark.parametrize("recipe", TRAININGS, ids=lambda recipe: recipe.name)
def test_every_changed_setting_is_noticed(composed_command, pictures, recipe: Recipe):
    changes = mutants(recipe, composed_command(recipe.command))
    assert not [name for name, changed in changes if survives(recipe, changed, pictures)]


def test_every_experiment_has_a_recipe():
    files = EXPERIMENTS.glob("**/*.yaml")
    experiments = {str(file.relative_to(EXPERIMENTS).with_suffix("")) for file in files}
    named = {r.command.partition("experiment=")[2].split()[0] for r in TRAININGS if "experiment=" in r.command}
    assert experiments - named == OF_NO_PAPER
    assert named <= experiments
