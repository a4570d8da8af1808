"""Jobs in processes of their own."""

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mim.launch.errors import Interrupted
from mim.launch.signals import listen
from mim.sweep.fresh import Task, run_all
from mim.sweep.job import read_job

SAYS_WHO = "import os; print(os.getpid(), os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)"


def task(folder: Path, code: str, devices: int = 0) -> Task:
    return Task(folder, [sys.executable, "-c", code], [f"name={folder.name}"], folder.name, devices)


def said(folder: Path) -> list[str]:
    return (folder / "output.log").read_text().split()


def test_every_job_has_a_process_of_its_own_and_a_failing_one_leaves_the_others_alone(tmp_path):
    codes = [SAYS_WHO, "print('error: no good'); raise SystemExit(1)", SAYS_WHO]
    run_all([task(tmp_path / str(i), code) for i, code in enumerate(codes)], 1, [], [])
    jobs = [read_job(tmp_path / str(i), []) for i in range(3)]
    assert [job.status for job in jobs] == ["finished", "failed", "finished"]
    assert jobs[1].error == "no good"
    assert len({said(tmp_path / "0")[0], said(tmp_path / "2")[0], str(os.getpid())}) == 3


def test_no_more_than_parallel_run_at_a_time_and_each_gets_the_gpus_that_are_least_taken(tmp_path):
    slow = SAYS_WHO + "; import time; print(time.time()); time.sleep(0.4); print(time.time())"
    run_all(
        [task(tmp_path / str(i), slow, devices=2) for i in range(4)], 2, ["3", "5", "6", "7"], []
    )
    lines = [said(tmp_path / str(i)) for i in range(4)]
    assert {line[1] for line in lines[:2]} == {"3,5", "6,7"}
    spans = [(float(line[2]), float(line[3])) for line in lines]
    together = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert max(together) == 2


def test_a_job_on_a_cpu_sees_the_gpus_that_were_there(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    run_all([task(tmp_path / "0", SAYS_WHO)], 1, ["4"], [])
    assert said(tmp_path / "0")[1] == "4"


def test_a_job_that_another_sweep_runs_is_left_to_it(tmp_path, capsys):
    (tmp_path / "0").mkdir()
    with (tmp_path / "0" / "output.log").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        run_all([task(tmp_path / "0", SAYS_WHO), task(tmp_path / "1", SAYS_WHO)], 1, [], [])
    assert "is being run by another sweep" in capsys.readouterr().out
    assert not said(tmp_path / "0")
    assert said(tmp_path / "1")


def test_a_signal_goes_to_the_running_job_and_no_other_begins(tmp_path, signals):
    waits = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(85)); print('on', "
        "flush=True); time.sleep(30)"
    )
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    begun = time.monotonic()
    listen()
    with pytest.raises(Interrupted, match="SIGTERM"):
        run_all([task(tmp_path / "0", waits), task(tmp_path / "1", waits)], 1, [], [])
    assert time.monotonic() - begun < 15
    assert read_job(tmp_path / "0", []).status == "interrupted"
    assert not (tmp_path / "1").exists()
