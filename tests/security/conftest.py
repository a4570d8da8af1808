"""What many attacks need."""

import importlib
import json
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins

from mim.sweep.job import write_record
from tests.e2e.conftest import command, runs

__all__ = ["command", "runs"]


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that a command out of a checkpoint would make."""
    return tmp_path / "executed"


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of a sweep's jobs, each of which ends at once."""
    Plugins.instance()  # reads the launcher's file anew when it is first asked for
    commands: list[list[str]] = []

    def pretend(tasks, parallel, gpus, metrics, begin):
        for task in tasks:
            commands.append(task.command[2:])
            task.folder.mkdir(parents=True, exist_ok=True)
            write_record(task.folder, overrides=task.overrides, exit_code=0, seconds=1)
            (task.folder / "results.json").write_text(
                json.dumps({"status": "finished", "metrics": {"knn/top1": 0.5}})
            )

    monkeypatch.setattr(importlib.import_module("hydra_plugins.fresh_launcher"), "run_all", pretend)
    return commands
