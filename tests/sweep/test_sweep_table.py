"""The table at the end of a sweep."""

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mim.launch.identity import sweep_name
from mim.sweep.job import write_record
from mim.sweep.table import Table, write_table


def job(sweep: Path, number: int, exit_code: int | None, overrides: list[str], **results) -> None:
    folder = sweep / str(number)
    folder.mkdir()
    write_record(folder, overrides=["epochs=2", *overrides], exit_code=exit_code, seconds=12.4)
    if results:
        (folder / "results.json").write_text(json.dumps(results))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    job(
        tmp_path,
        0,
        0,
        ["seed=0"],
        status="finished",
        metrics={"knn/top1": 0.5},
        images_per_second=1000.4,
        commit="abc",
    )
    job(tmp_path, 1, 1, ["seed=1"])
    (tmp_path / "1" / "output.log").write_text("epoch 1\nerror: ratio=1.5; lower it\n")
    job(tmp_path, 2, 0, ["seed=2"], status="finished", metrics={"knn/top1": 0.75}, commit="def")
    job(tmp_path, 3, 85, ["seed=3"], status="interrupted", metrics={"knn/top1": 0.9})
    job(tmp_path, 10, 0, ["seed=10"], status="finished", metrics={"knn/top1": float("nan")})
    return tmp_path


def test_the_best_comes_first_and_what_is_incomplete_last(sweep, capsys):
    write_table(sweep, ["knn/top1"], maximise=True)
    text = (sweep / "sweep.md").read_text()
    assert capsys.readouterr().out == text
    assert text.splitlines()[:4] == [
        "| job | overrides | status      | knn/top1 | images/s | seconds |",
        "| --: | --------- | ----------- | -------: | -------: | ------: |",
        "|   2 | seed=2    | finished    |   0.7500 |        - |      12 |",
        "|   0 | seed=0    | finished    |   0.5000 |     1000 |      12 |",
    ]
    with (sweep / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["2", "0", "10", "3", "1"]
    assert rows[2]["knn/top1"] == ""


def test_what_is_shared_what_failed_and_other_code_are_said(sweep):
    write_table(sweep, ["knn/top1"], maximise=True)
    text = (sweep / "sweep.md").read_text()
    assert "All jobs: epochs=2" in text
    assert "Job 1 failed: ratio=1.5; lower it; see" in text
    assert "different code: commits abc, def" in text


def test_less_may_be_better(sweep):
    assert [job.folder.name for job in write_table(sweep, ["knn/top1"], maximise=False)][:2] == [
        "0",
        "2",
    ]


def test_the_exit_code_says_whether_a_job_failed_or_was_only_interrupted(sweep):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(sweep)}}})
    with pytest.raises(SystemExit, match="1"):
        Table("knn/top1", True).on_multirun_end(config)
    write_record(sweep / "1", exit_code=0)
    with pytest.raises(SystemExit, match="85"):
        Table("knn/top1", True).on_multirun_end(config)
    write_record(sweep / "3", exit_code=0)
    (sweep / "3" / "results.json").write_text(json.dumps({"status": "finished"}))
    Table("knn/top1", True).on_multirun_end(config)


def test_the_same_command_has_the_same_name_however_it_is_run():
    command = ["masker=random,block", "seed=0,1"]
    assert sweep_name(None, command) == sweep_name(None, [*command, "sweep.parallel=4"])
    assert sweep_name(None, command).startswith("masker-seed_")
    assert sweep_name(None, command) != sweep_name(None, ["masker=random,block", "seed=0,2"])
    assert sweep_name("mine", command) == "mine"
    assert (
        len(sweep_name(None, [f"callback.reconstructions.count={i},{i + 1}" for i in range(50)]))
        < 60
    )
