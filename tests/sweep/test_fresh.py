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

SHARED = """
import os, sys, time
from pathlib import Path

folder, number = Path(sys.argv[1]), int(sys.argv[2])
(folder / f"{number}.runs").touch()
(folder / f"{number}.met").touch()
for _ in range(30_000):  # only two at a time can meet
    if (folder / f"{number ^ 1}.met").exists():
        break
    time.sleep(0.01)
else:
    sys.exit("alone")
print(os.environ["CUDA_VISIBLE_DEVICES"], len(list(folder.glob("*.runs"))))
(folder / f"{number}.runs").unlink()
"""
SAYS_WHO = "import os; print(os.getpid(), os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)"

WAITS = """
import signal, sys, time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(85))
print("on", flush=True)
while True:  # a signal that comes just before it does not end a sleep
    time.sleep(0.05)
"""


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
    tasks = [task(tmp_path / str(i), SHARED, devices=2) for i in range(4)]
    tasks = [each._replace(command=[*each.command, tmp_path, each.folder.name]) for each in tasks]
    run_all(tasks, 2, ["3", "5", "6", "7"], [])
    gpus, together = zip(*(said(tmp_path / str(i)) for i in range(4)), strict=True)
    assert gpus == ("3,5", "6,7") * 2 or gpus == ("3,5", "6,7", "6,7", "3,5")
    assert max(map(int, together)) <= 2


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
    def stop_once_it_listens():
        log = tmp_path / "0" / "output.log"
        while not (log.exists() and log.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    listen()
    threading.Thread(target=stop_once_it_listens, daemon=True).start()
    with pytest.raises(Interrupted, match="SIGTERM"):
        run_all([task(tmp_path / "0", WAITS), task(tmp_path / "1", WAITS)], 1, [], [])
    assert read_job(tmp_path / "0", []).status == "interrupted"
    assert not (tmp_path / "1").exists()
