"""Run the commands that a user runs: in this process where that is possible, because starting
Python anew takes seconds.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from mim.command import evaluate as eval_command
from mim.command import train as train_command
from mim.launch.entry import launch
from mim.run.interruption import Interruption

ROOT = Path(__file__).parents[2]
SHORT = ("epochs=2", "warmup_epochs=1", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu")


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str
    folder: Path | None

    @property
    def results(self) -> dict[str, Any]:
        return json.loads((self.folder / "results.json").read_text())

    @property
    def metrics(self) -> dict[str, float]:
        return self.results["metrics"]

    @property
    def checkpoint(self) -> dict[str, Any]:
        return torch.load(self.folder / "checkpoints" / "last.ckpt", weights_only=True)

    def column(self, name: str) -> dict[int, str]:
        """A column of metrics.csv: step -> value as written, so that equality is bit for bit."""
        header, *lines = (self.folder / "metrics.csv").read_text().splitlines()
        at, step = header.split(",").index(name), header.split(",").index("step")
        rows = [line.split(",") for line in lines]
        said = [(int(row[step]), row[at]) for row in rows if row[at]]
        assert len(said) == len(dict(said)), f"{name} is said twice of a step: {said}"
        return dict(said)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MIM_TRACEBACK", "0")
    # launch sets it, and what another test starts would inherit that
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    return tmp_path / "runs"


@pytest.fixture
def command(
    runs: Path, signals: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> Callable[..., Outcome]:
    def run(what: str, *overrides: str) -> Outcome:
        before = set(runs.glob("*/*"))
        monkeypatch.setattr(sys, "argv", [f"{what}.py", *overrides])
        function = train_command.train if what == "train" else eval_command.evaluate
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            launch(function, ROOT / "configs", what)
        out, err = capfd.readouterr()
        new = sorted(set(runs.glob("*/*")) - before)
        return Outcome(int(stop.value.code or 0), out, err, new[-1] if new else None)

    return run


@pytest.fixture
def train(command: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """A short training on the digits, quiet but for what the overrides ask for."""
    return lambda *overrides: command("train", *SHORT, *overrides)


@pytest.fixture
def train_by_two(runs: Path) -> Callable[..., Outcome]:
    """The same as `train`, by two processes on this computer."""

    def run(*overrides: str) -> Outcome:
        two = ("trainer=ddp", "trainer.devices=2", "name=two")
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, "train.py", *SHORT, *overrides, *two]
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
        )
        assert ended.returncode == 0, ended.stderr
        (folder,) = runs.glob("two/*")  # one run has one folder
        return Outcome(ended.returncode, ended.stdout, ended.stderr, folder)

    return run


@pytest.fixture
def stopped_after(
    train: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """A training that is told to stop after a step, and does."""

    def run(step: int, *overrides: str) -> Outcome:
        go_on = Interruption.on_train_batch_end

        def stop(self, trainer, *arguments):
            if trainer.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)
            go_on(self, trainer, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Interruption, "on_train_batch_end", stop)
            outcome = train(*overrides)
        assert outcome.code == 85
        return outcome

    return run
