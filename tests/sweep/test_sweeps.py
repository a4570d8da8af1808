"""`python train.py -m`: which jobs are run. What they do is left out, but for one sweep at the
end.
"""

import json
import math

import pytest
from hydra.core.plugins import Plugins

import hydra_plugins.fresh_launcher as fresh_launcher
from mim.sweep.job import write_record


@pytest.fixture
def ran(monkeypatch):
    """The commands of the jobs; each ends at once with a k-NN accuracy that its learning rate
    decides.
    """
    Plugins.instance()  # reads the launcher's file anew when it is first asked for
    commands = []

    def pretend(tasks, parallel, gpus, metrics, begin):
        for task in tasks:
            commands.append(task.command[2:])
            given = dict(override.split("=", 1) for override in task.overrides)
            score = 1 - abs(math.log10(float(given.get("base_lr", 1e-3))) + 3)
            status, code = (
                ("pruned", 0)
                if score < -0.2
                else ("interrupted", 85)
                if given.get("seed") == "7"
                else ("finished", 0)
            )
            task.folder.mkdir(parents=True, exist_ok=True)
            write_record(task.folder, overrides=task.overrides, exit_code=code, seconds=1)
            (task.folder / "results.json").write_text(
                json.dumps({"status": status, "metrics": {"knn/top1": score}})
            )

    monkeypatch.setattr(fresh_launcher, "run_all", pretend)
    return commands


def test_the_same_command_again_does_only_what_is_missing(command, ran, runs):
    sweep = ["-m", "seed=0,1,7", "epochs=20"]
    assert command("train", *sweep).code == 85
    assert len(ran) == 3
    assert all("resume=auto" in job for job in ran)
    ran.clear()
    out = command("train", *sweep, "sweep.parallel=2").out
    assert "3 jobs" in out
    assert "2 done before" in out
    (again,) = ran
    assert again[0] == "seed=7"
    assert f"hydra.run.dir='{next(runs.glob('sweeps/*/2'))}'" in again


def test_a_sweep_with_a_name_may_grow(command, ran, runs):
    command("train", "-m", "seed=1,2", "sweep.name=mine")
    command("train", "-m", "seed=0,1,2,3", "sweep.name=mine")
    assert [job[0] for job in ran] == ["seed=1", "seed=2", "seed=0", "seed=3"]
    assert sorted(path.name for path in (runs / "sweeps" / "mine").iterdir() if path.is_dir()) == [
        "0",
        "1",
        "2",
        "3",
    ]


def test_a_job_says_what_it_resumes_where_the_user_said_so(command, ran):
    command("train", "-m", "seed=0,1", "resume=elsewhere")
    assert all("resume=auto" not in job for job in ran)


def test_jobs_of_many_processes_are_swept_too(command, ran):
    assert command("train", "-m", "seed=0,1", "trainer=ddp", "trainer.devices=2").code == 0
    assert len(ran) == 2


def test_a_job_that_cannot_be_composed_is_refused_before_any_begins(command, ran):
    run = command("train", "-m", "masker=random,blok")
    assert run.code == 1
    assert "did you mean 'block'" in run.err
    assert not ran


def test_sweeping_under_torchrun_is_refused(command, ran, monkeypatch):
    for name, value in {"RUN_ID": "x", "RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    monkeypatch.setattr("mim.launch.processes.started", lambda: None)
    run = command("train", "-m", "seed=0,1")
    assert run.code == 1
    assert "without torchrun" in run.err


@pytest.mark.slow
def test_a_study_goes_on_where_it_stopped(command, ran, runs):
    sweep = [
        "-m",
        "sweep=optuna",
        "sweep.name=study",
        "base_lr=tag(log,interval(1e-5,1e-1))",
        "masker=random,block",
    ]
    assert command("train", *sweep, "sweep.trials=6").code == 0
    run = command("train", *sweep, "sweep.trials=16", "sweep.parallel=2")
    assert len(ran) == 16
    rates = [
        float(value.partition("=")[2])
        for job in ran
        for value in job
        if value.startswith("base_lr=")
    ]
    assert all(1e-5 <= rate <= 1e-1 for rate in rates)
    assert len(set(rates)) == 16  # it does not begin anew
    assert "pruned" in run.out
    study = (runs / "sweeps" / "study" / "study.log").read_text()
    assert len(list((runs / "sweeps" / "study").glob("*/results.json"))) == 16
    assert '"state":2' in study.replace(" ", "")  # Optuna's number for pruned


def test_a_study_may_have_several_aims(command, ran):
    aims = ["sweep.metric=[knn/top1,knn/top1]", "sweep.maximise=[true,false]"]
    run = command(
        "train",
        "-m",
        "sweep=random",
        "sweep.trials=3",
        *aims,
        "base_lr=interval(1e-3,1e-2)",
        "seed=range(0,5)",
    )
    assert run.code == 0
    assert len(ran) == 3


def test_real_jobs_one_of_which_fails(train, runs):
    sweep = (
        "masker.partition.ratio=1.5,0.5",
        "debug=limit",
        "callback=[results]",
        "sweep.parallel=2",
        "-m",
    )
    first, second = train(*sweep), train(*sweep)
    assert (first.code, second.code) == (1, 1)
    assert "ratio=1.5" in first.out
    assert "1 done before" in second.out
    (folder,) = runs.glob("sweeps/*")
    assert [path.parent.name for path in folder.glob("*/results.json")] == ["1"]
    assert "| failed" in (folder / "sweep.md").read_text()
