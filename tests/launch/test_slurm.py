"""SLURM is asked once, and only where it does not know by itself."""

import os

import pytest

from mim.launch.errors import Interrupted
from mim.launch.slurm import requeue


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What `scontrol` was called with."""
    script = tmp_path / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    return lambda: (
        (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    )


def test_a_run_that_stops_for_its_time_limit_is_queued_again_once(asked):
    requeue(Interrupted("SIGUSR1"))
    assert asked() == ["requeue 123"]


def test_one_process_asks_for_all(asked, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    monkeypatch.setenv("SLURM_PROCID", "1")
    requeue(Interrupted("SIGUSR1"))
    assert not asked()
    monkeypatch.setenv("SLURM_PROCID", "0")
    requeue(Interrupted("SIGUSR1"))
    assert asked() == ["requeue 123"]


def test_a_task_of_an_array_is_queued_again_by_itself(asked, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "100")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    requeue(Interrupted("SIGUSR1"))
    assert asked() == ["requeue 100_4"]


@pytest.mark.parametrize("cause", ["SIGTERM", "SIGINT", "its time limit (trainer.max_time)"])
def test_other_ends_are_left_to_slurm(asked, cause):
    requeue(Interrupted(cause))
    assert not asked()


def test_jobs_of_a_sweep_and_runs_without_slurm_do_not_ask(asked, monkeypatch):
    monkeypatch.setenv("MIM_REQUEUE", "0")
    requeue(Interrupted("SIGUSR1"))
    monkeypatch.delenv("MIM_REQUEUE")
    monkeypatch.delenv("SLURM_JOB_ID")
    requeue(Interrupted("SIGUSR1"))
    assert not asked()


def test_a_refusal_is_one_line(asked, tmp_path, capsys):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho 'Invalid job id' >&2\nexit 1\n")
    requeue(Interrupted("SIGUSR1"))
    assert "did not take job 123 back (Invalid job id); submit it again" in capsys.readouterr().err
