"""Grid: maskers, targets and models that are crossed; each pair is a row that trains and is judged
as a paper's are.
"""

from pathlib import Path

from pydantic import Field

from mim.paper.command import merged
from mim.paper.row import Row, Said
from mim.paper.table import Paper, Table, read_as

HERE = Path(__file__).parent / "grids"


class GridModel(Said):
    """A model, and what each masker is with it."""

    settings: list[str]
    maskers: dict[str, list[str]]
    """By name, settings."""


class GridTarget(Said):
    """Target of a grid: what is predicted, and the models that cannot."""

    settings: list[str]
    not_with: dict[str, str] = Field(default_factory=dict)
    """By model, why the two are no pair."""


class Grid(Said):
    """Every masker with every target and model that go together.

    Settings of a row are those of its model, masker and target and of `training`; where two say
    the same, the model has the last word.
    """

    title: str
    about: str
    judged: dict[str, str]
    """By judge, `eval.py ...` without the checkpoint."""
    training: list[str]
    untrained: list[str]
    """Settings of the row that has not learned, to compare with."""
    models: dict[str, GridModel]
    targets: dict[str, GridTarget]

    def paper(self) -> Paper:
        """Its rows: a table for the untrained one, and one for each model, masker by masker."""
        base = Table(
            name="untrained",
            about="Weights as they begin.",
            judged=dict(self.judged),
            rows=[self._row("untrained", self.untrained)],
        )
        tables = [
            Table(
                name=name,
                about=self.about,
                judged=dict(self.judged),
                rows=[
                    self._pair(name, masker, target)
                    for masker in model.maskers
                    for target in self.targets
                ],
            )
            for name, model in self.models.items()
        ]
        return Paper(title=self.title, source="ours", tables=[base, *tables])

    def _pair(self, name: str, masker: str, target: str) -> Row:
        model, what = self.models[name], self.targets[target]
        trained = f"{masker}, {target}, {name}"
        if why := what.not_with.get(name):
            return Row(trained=trained, reason=why, published=dict.fromkeys(self.judged))
        return self._row(trained, [*model.maskers[masker], *what.settings, *model.settings])

    def _row(self, trained: str, settings: list[str]) -> Row:
        command = merged(" ".join(["train.py", *self.training]), settings)
        return Row(trained=trained, by=command, published=dict.fromkeys(self.judged))


def grids() -> list[str]:
    """Names of the grids that are here."""
    return sorted(path.stem for path in HERE.glob("*.yaml"))


def read_grid(name: str) -> Grid:
    """Open a grid.

    Raises:
        ValueError: naming the file, the place in it, and what is wrong there.
    """
    return read_as(Grid, HERE / f"{name}.yaml")
