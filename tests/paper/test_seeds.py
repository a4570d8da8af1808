"""Every number of the tables that the project began with stands in a table here, with the value
that was printed.
"""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from mim.paper.table import HERE, Table, read

SEEDS: list[Any] = OmegaConf.to_container(OmegaConf.load(Path(__file__).parent / "seeds.yaml"))  # type: ignore


def numbers(seed: dict[str, Any]) -> dict[tuple[str, str], float]:
    """By (trained, judged by), what a source prints."""
    return {
        (trained, judge): value
        for _, trained, values in seed["rows"]
        for (_, judge), value in zip(seed["columns"], values, strict=True)
        if value is not None
    }


def ours(at: str) -> Table:
    paper, _, name = at.partition(": ")
    (table,) = [table for table in read(HERE / f"{paper}.yaml").tables if table.name == name]
    return table


@pytest.mark.parametrize(
    "seed", SEEDS, ids=[f"{seed['source']}: {seed['table']}" for seed in SEEDS]
)
def test_every_number_of_a_table_stands_here_as_it_is_printed(seed):
    cells = {(cell.row.trained, cell.judge): cell for cell in ours(seed["at"]).cells()}
    printed = numbers(seed)
    assert len(printed) == seed["numbers"]
    assert {place: cells[place].published for place in printed} == printed
    assert all(cells[place].command or cells[place].reason for place in printed)


def test_nothing_stands_in_these_tables_that_no_source_prints():
    for at in {seed["at"] for seed in SEEDS}:
        printed = {place for seed in SEEDS if seed["at"] == at for place in numbers(seed)}
        assert {(cell.row.trained, cell.judge) for cell in ours(at).cells()} == printed, at


def test_they_are_all_there():
    assert sum(len(numbers(seed)) for seed in SEEDS) == 247
    assert len({seed["at"] for seed in SEEDS}) == 14


def test_the_page_shows_each_of_them():
    """Each as a line, with as many decimals as were printed at least."""
    lines = (HERE.parents[2] / "docs" / "tables.md").read_text().splitlines()
    shown = {
        tuple(cell.strip() for cell in line.split("|")[1:4])
        for line in lines
        if line.startswith("| ")
    }
    for seed in SEEDS:
        for (trained, judge), value in numbers(seed).items():
            assert any(
                (row, by) == (trained, judge) and float(number) == value
                for row, by, number in shown
                if number.replace(".", "").isdigit()
            ), (trained, judge, value)


def test_contradictions_are_said_beside_the_rows():
    notes = {
        (at, row.trained): row.note
        for at in {seed["at"] for seed in SEEDS}
        for row in ours(at).rows
    }
    assert "68.4" in notes["emae: Comparison of methods", "EMAE, ViT-B, 300 epochs"]
    assert "68.2" in notes["emae: Ratios, parts and epochs", "EMAE, K = 4, 300 epochs"]
    assert "84.0" in notes["sbam: SBAM in five models", "iBOT, ViT-B"]
    assert "74.4" in notes["sbam: SBAM in five models", "iBOT + SBAM, ViT-B"]
    assert "36.6" in notes["amt: Table 3", "MAE + AMT"]
