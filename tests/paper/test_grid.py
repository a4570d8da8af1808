"""Maskers, targets and models that are crossed: every pair composes, says why not, and is shown."""

import json

import pytest

from mim.__main__ import main
from mim.paper.command import merged
from mim.paper.crossed import NO_PAIR, crossed
from mim.paper.grid import HERE, Grid, grids, read_grid
from mim.paper.markdown import NOT_MEASURED
from mim.paper.progress import PaperProgress
from mim.paper.records import find_records

GRID = read_grid("which_mask")
ROWS = {row.trained: row for table in GRID.paper().tables for row in table.rows}
TARGETS = {
    name: [t for t, what in GRID.targets.items() if name not in what.not_with]
    for name in GRID.models
}
TRIED = [  # every masker and every target of each model
    f"{masker}, {of[number % len(of)]}, {model}"
    for model, of in TARGETS.items()
    for number, masker in enumerate(GRID.models[model].maskers)
]
SMALL = {
    "title": "Crossed",
    "about": "Top-1.",
    "judged": {"k-NN": "eval.py evaluate=knn"},
    "training": ["epochs=2", "+a=1"],
    "untrained": ["steps=1"],
    "models": {
        "M": {"settings": ["model=m"], "maskers": {"one": ["masker=one"], "two": ["masker=two"]}},
        "N": {"settings": ["model=n", "epochs=1"], "maskers": {"one": ["masker=none"]}},
    },
    "targets": {
        "p": {"settings": ["loss=p"]},
        "q": {"settings": ["loss=q"], "not_with": {"N": "it has no q"}},
    },
}


def test_there_is_one_and_it_has_what_is_asked_of_it():
    assert grids() == ["which_mask"]
    asked = ["random", "block", "SBM", "SBAM", "AMT", "AttMask"]
    assert all(list(model.maskers) == asked for model in GRID.models.values())
    targets = ["pixels", "normalised pixels", "HOG", "data2vec's features", "iBOT's patches"]
    assert list(GRID.targets) == targets
    assert len(ROWS) == 1 + 3 * 6 * 5


@pytest.mark.parametrize("pair", ["untrained", *TRIED])
def test_what_a_pair_is_trained_with_composes_and_passes_the_check(composed_command, pair):
    composed_command(ROWS[pair].command)


def test_a_pair_that_is_none_says_why_and_every_other_has_a_command_of_its_own():
    none = [row for row in ROWS.values() if row.reason]
    assert len(none) == 6 * (2 + 4)
    commands = [row.command for row in ROWS.values() if row.command]
    assert len(set(commands)) == len(commands) == len(ROWS) - len(none)


def test_settings_of_masker_target_and_model_are_laid_over_those_of_all():
    rows = {
        row.trained: row
        for table in Grid.model_validate(SMALL).paper().tables
        for row in table.rows
    }
    assert rows["two, q, M"].by == "train.py epochs=2 +a=1 masker=two loss=q model=m"
    assert rows["one, p, N"].by == "train.py epochs=1 +a=1 masker=none loss=p model=n"
    assert rows["one, q, N"].reason == "it has no q"
    assert rows["untrained"].by == "train.py epochs=2 +a=1 steps=1"


def test_a_setting_that_is_new_stays_one():
    assert merged("train.py a=1", ["+b=2", "a=3"]) == "train.py a=3 +b=2"
    assert merged("train.py +b=1", ["b=2"]) == "train.py +b=2"


def finished(folder, overrides, program, seed, **more):
    folder.mkdir(parents=True)
    said = {"program": program, "overrides": overrides, "seed": seed, "status": "finished"}
    said |= {"commit": "abc", "hardware": "here", "wall_seconds": 900, "images_per_step": 8}
    (folder / "results.json").write_text(json.dumps(said | more))


def test_numbers_stand_where_masker_and_target_meet_with_every_seed(tmp_path):
    for seed, top1 in ((0, 0.5), (1, 0.25)):
        trained = tmp_path / f"trained_{seed}"
        given = ["epochs=2", "+a=1", "masker=two", "loss=q", "model=m", f"seed={seed}"]
        finished(trained, given, "train.py", seed)
        judged = ["evaluate=knn", f"checkpoint={trained}"]
        numbers = {"evaluate": "knn", "knn/top1": top1}
        finished(tmp_path / f"judged_{seed}", judged, "eval.py", 0, **numbers)
    grid = Grid.model_validate(SMALL)
    page = crossed(grid, PaperProgress(grid.paper(), find_records(tmp_path), [0, 1]), "a command")
    lines = page.splitlines()
    head = lines.index("| masker | p | q |")
    assert lines[head - 2] == "### M, k-NN"
    assert lines[head + 2 : head + 4] == [
        f"| one | {NOT_MEASURED} | {NOT_MEASURED} |",
        f"| two | {NOT_MEASURED} | 37.5 (50.0, 25.0) |",
    ]
    assert f"| one | {NOT_MEASURED} | {NO_PAIR} |" in lines
    assert f"- {NO_PAIR}: q and N: it has no q." in lines
    assert "4 of 24 trainings and judgements have been run, in 1.0 hours" in page
    assert "commit abc; here" in page
    assert "| two, M | `masker=two` |" in lines
    assert "    a command" in lines


def test_a_seed_alone_has_no_brackets(tmp_path):
    trained = tmp_path / "trained"
    finished(trained, ["epochs=2", "+a=1", "steps=1"], "train.py", 0)
    numbers = {"evaluate": "knn", "knn/top1": 0.125}
    finished(
        tmp_path / "judged", ["evaluate=knn", f"checkpoint={trained}"], "eval.py", 0, **numbers
    )
    grid = Grid.model_validate(SMALL)
    page = crossed(grid, PaperProgress(grid.paper(), find_records(tmp_path)), "a command")
    assert "Untrained, k-NN: 12.5." in page


def test_bench_scale_without_a_name_is_the_grid(capsys):
    assert main(["tables", "--scale", "bench"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"## {GRID.title}\n")
    assert said.count(NO_PAIR) == 2 * 6 * 6 + 2
    assert said.count(NOT_MEASURED) == 2 * 6 * (4 + 4 + 1)
    assert main(["tables", "which_mask"]) == 0
    assert capsys.readouterr().out == said


def test_what_is_wrong_in_a_grid_is_refused_with_its_place(tmp_path, monkeypatch):
    text = (HERE / "which_mask.yaml").read_text()
    monkeypatch.setattr("mim.paper.grid.HERE", tmp_path)
    (tmp_path / "which_mask.yaml").write_text(text.replace("targets:", "aims:", 1))
    with pytest.raises(ValueError, match=r"which_mask\.yaml, targets: Field required"):
        read_grid("which_mask")
