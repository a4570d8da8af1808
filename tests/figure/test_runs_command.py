"""`python -m mim runs`: what runs have left, as a table and as a page."""

import os
import re
import time

import numpy as np
import pytest
from PIL import Image

from mim.__main__ import main
from mim.figure.listing import Best, differences, list_runs, said_of
from mim.figure.page import curves

CURVES = {"knn/top1": [(0, 0.5), (1, 0.9), (2, 0.8)], "train/loss": [(0, 0.3), (2, 0.1)]}


@pytest.fixture
def runs(tmp_path, run_folder):
    """Two finished runs that differ in their masker's ratio and their seed, one of them with a
    picture.
    """
    folder = tmp_path / "runs"
    metrics = {"knn/top1": 0.8, "knn/top1_untrained": 0.4}
    run_folder("runs/a/1", ratio=0.5, metrics=metrics, columns=CURVES)
    made = run_folder("runs/sweeps/b/0", ratio=0.75, seed=1, metrics=metrics | {"knn/top1": 0.7})
    (made / "pictures").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(
        made / "pictures" / "reconstruction_<1>.png"
    )
    return folder


def test_state_best_and_differences_of_each(runs):
    listed, unread = list_runs(runs)
    assert not unread
    by_name = {each.run.folder.name: each for each in listed}
    assert {each.state for each in listed} == {"finished"}
    assert by_name["1"].best == {"knn/top1": Best(0.9, 2), "train/loss": Best(0.1, 3)}
    assert by_name["0"].best == {"knn/top1": Best(0.7, None)}
    assert by_name["1"].differs == {"partition.ratio": "0.5", "seed": "0"}
    assert by_name["0"].differs == {"partition.ratio": "0.75", "seed": "1"}
    assert (by_name["1"].epoch, by_name["0"].epoch) == (3, 0)


def test_runs_without_a_curve_are_not_in_the_legend(runs, run_folder):
    run_folder("runs/eval_embedding/2", metrics={})
    listed, _ = list_runs(runs)
    drawn = curves(listed, runs)
    assert ">a/1</text>" in drawn
    assert "eval_embedding" not in drawn


def test_a_run_without_results_runs_until_it_is_silent_for_long(runs):
    folder = runs / "a" / "1"
    (folder / "results.json").unlink()
    began = time.time()
    state = {
        now: {e.run.folder.name: e.state for e in list_runs(runs, now=began + now)[0]}["1"]
        for now in (1, 1000)
    }
    assert state == {1: "running", 1000: "lost"}


def test_those_written_to_last_are_at_the_end(runs):
    for name, moment in (("a/1", 1000), ("sweeps/b/0", 500)):
        for file in (runs / name).iterdir():
            os.utime(file, (moment, moment))
    assert [each.run.folder.name for each in list_runs(runs)[0]] == ["0", "1"]


def test_those_of_one_moment_are_listed_by_their_paths(runs):
    for file in runs.rglob("*"):
        os.utime(file, (500, 500))
    assert [each.run.folder.name for each in list_runs(runs)[0]] == ["1", "0"]


def test_the_table_says_it(runs, capsys):
    assert main(["runs", str(runs)]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"^a/1 +finished +3 +90\.0 % \(2\) +0\.1000 +seed=0 partition\.ratio=0\.5",
        said,
        re.MULTILINE,
    ), said
    assert "sweeps/b/0" in said
    assert main(["runs", str(runs), "--name", "sweeps"]) == 0
    assert "a/1" not in capsys.readouterr().out


def test_the_page_holds_table_curves_and_pictures_and_asks_nobody_for_anything(
    runs, tmp_path, capsys
):
    page = tmp_path / "runs.html"
    assert main(["runs", str(runs), "--html", str(page)]) == 0
    text = page.read_text()
    assert text.count("<svg") == 1
    assert "k-NN top-1" in text
    assert "90.0 % (2)" in text
    assert "partition.ratio=0.75" in text
    assert "reconstruction_&lt;1&gt;.png" in text
    assert text.count("data:image/png;base64,") == 1
    outside = set(re.findall(r"(?:src|href)=\"([^\"]*)", text)) - {"#"}
    assert all(each.startswith(("data:", "#")) for each in outside)


def test_what_cannot_be_read_is_said_and_the_others_are_listed(runs, capsys):
    (runs / "a" / "1" / "results.json").write_text("{")
    assert main(["runs", str(runs)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^not read .*results.json is no JSON", said, re.MULTILINE)
    assert "sweeps/b/0" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "there is no folder"),
        (["."], "holds no such runs"),
        (["RUNS", "--name", "nobody"], "holds no such runs"),
        (["RUNS", "--html", "page.txt"], "is no .html file"),
    ],
)
def test_what_cannot_be_listed_is_one_line(runs, tmp_path, monkeypatch, capsys, arguments, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["runs", *(str(runs) if each == "RUNS" else each for each in arguments)]) == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_differences_have_short_names_and_a_part_is_told_by_its_class():
    score = "task.model.masker.score"
    first = {
        f"{score}._target_": "mim.masker.score.random.Random",
        f"{score}._partial_": True,
        "epochs": 3,
        "lr": 1,
    }
    second = {
        f"{score}._target_": "mim.masker.score.salience.Salience",
        f"{score}.noise": 0.5,
        "epochs": 3,
        "lr": 2,
    }
    third = {
        f"{score}._target_": "mim.masker.score.salience.Salience",
        f"{score}.noise": 0.1,
        "data.size": 32,
    }
    assert differences([first, second, third]) == [
        {"masker.score": "Random", "lr": "1"},
        {"masker.score": "Salience", "lr": "2"},
        {"masker.score": "Salience"},
    ]
    assert differences([second, third | {"lr": 2}]) == [
        {"score.noise": "0.5"},
        {"score.noise": "0.1"},
    ]
    assert differences([first, first]) == [{}, {}]


def test_numbers_are_said_as_readers_know_them():
    assert said_of(Best(0.9444, 150), "knn/top1") == "94.4 % (150)"
    assert said_of(Best(0.25, 3), "train/loss") == "0.2500"
    assert said_of(Best(float("nan"), None), "knn/top1") == said_of(None, "knn/top1") == ""
