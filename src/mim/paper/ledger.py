"""Ledger of recipes: what papers and releases say of every experiment, and where this project
differs.

`recipes/<paper>.yaml` holds the facts with their sources; recipes/README.md has the words.
"""

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from mim.plain import Settings

RECIPES = Path(__file__).parent / "recipes"


class Deviation(NamedTuple):
    """A setting of ours that the source does not have, or leaves open."""

    field: str
    """Dotted name, e.g. `lr.base`."""
    source: object
    """What the source says: a value, `{paper: .., release: ..}` where its two differ, None where
    neither says it.
    """
    ours: object
    reason: str
    like: str | None = None
    """The experiment whose setting it is."""


class Recipe(NamedTuple):
    """One experiment of a paper."""

    name: str
    """As under configs/experiment, or the paper's name for what a command of ours makes."""
    kind: str
    """pretrain, finetune, linear_probe or knn."""
    command: str | None
    """That runs it, without `python`; None where there is none yet."""
    source: Mapping[str, object]
    """All that the sources say of it, as it stands in the file, with what it shares with others
    filled in.
    """
    deviations: list[Deviation]

    def expected(self, field: str) -> object:
        """What a run of ours has to have: the source's value, or the one that a deviation gives a
        reason for.

        Args:
            field: dotted name, e.g. `mask.visible`.

        Raises:
            KeyError: where neither says anything.
        """
        for deviation in self.deviations:
            if deviation.field == field:
                return deviation.ours
            if field.startswith(f"{deviation.field}.") and isinstance(deviation.ours, Mapping):
                return find(deviation.ours, field.removeprefix(f"{deviation.field}."))
        return find(self.source, field)


def find(source: Mapping[str, object], field: str) -> object:
    """The value at a dotted name.

    Raises:
        KeyError: where there is none.
    """
    value: object = source
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(field)
        value = value[part]
    return value


def papers(folder: Path = RECIPES) -> list[str]:
    """Names of the papers that there are recipes of."""
    return sorted(file.stem for file in folder.glob("*.yaml"))


@cache
def read_recipes(paper: str, folder: Path = RECIPES) -> dict[str, Recipe]:
    """Every recipe of a paper, by its name.

    Raises:
        ValueError: naming the ledger and the experiment, where a deviation has no reason.
    """
    entries: dict[str, Settings] = {}
    recipes: dict[str, Recipe] = {}
    for entry in yaml.safe_load((folder / f"{paper}.yaml").read_text())["experiments"]:
        name = entry["name"]
        entries[name] = _filled_in(entry, entries)
        recipes[name] = _recipe(entries[name], recipes, folder)
    return recipes


def deviations(folder: Path = RECIPES) -> dict[str, list[Deviation]]:
    """By experiment, where it differs from its source; those that do not are left out."""
    recipes = (
        recipe for paper in papers(folder) for recipe in read_recipes(paper, folder).values()
    )
    return {recipe.name: recipe.deviations for recipe in recipes if recipe.deviations}


def unmade(folder: Path = RECIPES) -> dict[str, list[str]]:
    """By paper, the recipes that no command makes yet."""
    recipes = {paper: read_recipes(paper, folder).values() for paper in papers(folder)}
    return {
        paper: [one.name for one in each if one.command is None] for paper, each in recipes.items()
    }


def _filled_in(entry: Settings, before: Mapping[str, Settings]) -> Settings:
    """An entry with all that it shares with the one that it is `like`, but for what it is
    `without`.
    """
    own = dict(entry)
    shared = copy.deepcopy(before[own.pop("like")]) if "like" in own else {}
    for path in own.pop("without", []):
        *parents, last = path if isinstance(path, list) else [path]
        node = shared
        for parent in parents:
            node = node[parent]
        del node[last]
    _lay_over(shared, own)
    return shared


def _lay_over(shared: Settings, own: Settings) -> None:
    for key, value in own.items():
        if isinstance(value, dict) and isinstance(shared.get(key), dict):
            _lay_over(shared[key], value)
        else:
            shared[key] = copy.deepcopy(value)


def _recipe(entry: Settings, before: Mapping[str, Recipe], folder: Path) -> Recipe:
    source = {key: value for key, value in entry.items() if key not in ("command", "ours")}
    command = entry.get(
        "command", None if entry.get("proposed") else f"train.py experiment={entry['name']}"
    )
    found = [
        one for choice in entry.get("ours", []) for one in _chosen(entry, choice, before, folder)
    ]
    return Recipe(entry["name"], entry["kind"], command, source, found)


def _chosen(
    entry: Settings, choice: Settings, before: Mapping[str, Recipe], folder: Path
) -> Iterator[Deviation]:
    """The deviations of one choice: values with a reason, or settings of another experiment,
    perhaps of another paper.
    """
    if "why" not in choice:
        raise ValueError(
            f"{folder.name}/{entry['name']}: a choice lacks its reason, `why`; it has "
            f"{', '.join(choice)}"
        )
    values, like = choice.get("values", {}), choice.get("as")
    if like:
        other = before.get(like) or read_recipes(like.partition("/")[0], folder)[like]
        values = {field: other.expected(field) for field in choice["fields"]}
    for field, value in values.items():
        try:
            theirs = find(entry, field)
        except KeyError:
            theirs = None
        yield Deviation(field, theirs, value, choice["why"], like)
