"""What a run that is stopped and goes on, however often, leaves in `metrics.csv`."""

import csv

import pytest

from mim.logger.csv import CSV

UNTRAINED = {"knn/top1_untrained": 0.25}


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if value} for row in csv.DictReader(file)
        ]


def log(folder, *said):
    logger = CSV(str(folder))
    for step, numbers in said:
        logger.log_metrics(numbers, step)
        logger.save()


def begin(folder, step, said=None):
    CSV(str(folder)).begin_at(step, UNTRAINED, said or {})


def test_what_was_measured_before_training_is_there_once_however_often_a_run_begins(tmp_path):
    for step in (0, 0, 1, 2, 0):
        begin(tmp_path, step)
        log(tmp_path, (step, {"loss": 1.0}))
    assert rows(tmp_path) == [
        {"step": "0", "epoch": "0", "knn/top1_untrained": "0.25"},
        {"step": "0", "loss": "1.0"},
    ]


def test_the_end_of_an_epoch_that_is_done_again_is_said_once(tmp_path):
    begin(tmp_path, 0)
    log(
        tmp_path, (0, {"loss": 3.0}), (1, {"loss": 2.0}), (1, {"knn/top1": 0.5}), (2, {"loss": 1.0})
    )
    for _ in range(3):
        begin(tmp_path, 2, {"loss": 2.0})
        log(tmp_path, (1, {"knn/top1": 0.5}))
    assert rows(tmp_path)[1:] == [
        {"step": "0", "loss": "3.0"},
        {"step": "1", "loss": "2.0"},
        {"step": "1", "knn/top1": "0.5"},
    ]


def test_the_row_of_a_saved_step_that_was_never_written_is(tmp_path):
    begin(tmp_path, 0)
    begin(tmp_path, 5, {"loss": 0.5})
    assert rows(tmp_path)[1:] == [{"step": "4", "loss": "0.5"}]


def test_a_torn_row_is_dropped(tmp_path):
    log(tmp_path, (0, {"loss": 3.0}), (10, {"loss": 2.0}))
    whole = (tmp_path / "metrics.csv").read_text()
    (tmp_path / "metrics.csv").write_text(whole + "2.5,1")  # of step 11
    begin(tmp_path, 20)
    assert [row["step"] for row in rows(tmp_path)[1:]] == ["0", "10"]


def test_who_is_killed_while_a_column_is_added_loses_nothing(tmp_path, monkeypatch):
    log(tmp_path, (0, {"loss": 3.0}), (1, {"loss": 2.0}))
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        log(tmp_path, (1, {"knn/top1": 0.5}))
    assert [row["loss"] for row in rows(tmp_path)] == ["3.0", "2.0"]


def test_nothing_is_written_where_there_is_nothing_to_say(tmp_path):
    CSV(str(tmp_path)).begin_at(0, {}, {})
    assert not (tmp_path / "metrics.csv").exists()
