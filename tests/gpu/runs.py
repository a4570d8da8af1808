"""Commands that a user types, several processes of them at once, and what they leave."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
SECONDS = {"cuda": 100, "cpu": 1200}  # for a process of several commands
QUIET = "callback=[finite,interruption,checkpoint,results,epoch_end]"
THREE = (
    "train",
    "epochs=3",
    "warmup_epochs=1",
    "trainer.log_every_n_steps=1",
    "trainer.limit_train_batches=4",
)
SHORT = (*THREE, QUIET)
STOP = ("+callback.stop._target_=tests.gpu.stop_at.StopAt", "+callback.stop.step=6")
LEARNS = (
    "train",
    "callback=[online_probe,checkpoint,results]",
    "warmup_epochs=5",
    "trainer.log_every_n_steps=1",
)
EPOCHS = {"cuda": 60, "cpu": 8}
JUDGES = {
    "knn": ("evaluate=knn",),
    "linear": ("evaluate=linear",),
    "abmilp": ("evaluate=probe", "pool=[abmilp]", "evaluate.epochs=10", "evaluate.lr=[1e-2]"),
}
METHODS = {
    "simmim": (QUIET, "model=simmim"),
    "emae": (QUIET, "masker=emae", "loss=emae"),
    "sbam": (QUIET, "masker=sbam"),
    "amt": (
        *("masker=amt", "callback=[refresh_attention,checkpoint,results]"),
        "callback.refresh_attention.every_n_epochs=1",
    ),
}


def jobs(kind: str) -> list[list[list[str]]]:
    """Commands by process; each is a name, a program and its settings. On a GPU the settings of the
    default: it is found.
    """
    here = ("trainer.accelerator=cpu",) if kind == "cpu" else ()
    long = (f"epochs={EPOCHS[kind]}", f"watch_every_n_epochs={EPOCHS[kind]}")
    exact = ("+trainer.deterministic=true",)
    judged = [
        [
            f"{name}_{where}",
            "eval",
            "checkpoint=@learns",
            f"accelerator={where}",
            "cache=null",
            *asked,
        ]
        for name, asked in JUDGES.items()
        for where in dict.fromkeys((kind, "cpu"))
    ]
    alone = [
        [["learns", *LEARNS, *long, *here], *judged],
        [
            ["short", *SHORT, *here],
            ["stopped", *SHORT, *here, *STOP],
            ["resumed", *SHORT, *here, "resume=@stopped"],
        ],
        [
            ["exact", *SHORT, *here, *exact],
            ["exact_stopped", *SHORT, *here, *exact, *STOP],
            ["exact_resumed", *SHORT, *here, *exact, "resume=@exact_stopped"],
        ],
        [["ddp", *SHORT, *here, "trainer=ddp", "trainer.devices=1"]],
        [["fsdp", *SHORT, *here, "trainer=fsdp", "trainer.devices=1"]],
        [[name, *THREE, *here, *settings] for name, settings in METHODS.items()],
    ]
    # one core: one process
    return alone if kind == "cuda" else [[command for process in alone for command in process]]


class Run:
    """What a command left."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def results(self) -> dict:
        return json.loads((self.folder / "results.json").read_text())

    @property
    def losses(self) -> dict[int, str]:
        """By step, as written: equality is bit for bit."""
        header, *lines = (
            line.split(",") for line in (self.folder / "metrics.csv").read_text().splitlines()
        )
        at, step = header.index("train/loss"), header.index("step")
        return {int(line[step]): line[at] for line in lines if line[at]}

    @property
    def weights(self) -> dict[str, Tensor]:
        return torch.load(
            self.folder / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu"
        )["state_dict"]


class Processes:
    """All commands, started at once.

    Args:
        kind: of the device.
        runs: an empty folder.
    """

    def __init__(self, kind: str, runs: Path):
        self.runs, self.deadline, self.kind = runs, time.monotonic() + SECONDS[kind], kind
        more = {
            "MIM_RUNS": str(runs),
            "MIM_CACHE": str(runs / "cache"),
            "MIM_TRACEBACK": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.of: dict[str, tuple[subprocess.Popen, Path]] = {}
        for commands in jobs(kind):
            log = runs / f"{commands[0][0]}.log"
            with log.open("w") as file:
                process = subprocess.Popen(
                    [sys.executable, "tests/gpu/commands.py", json.dumps(commands)],
                    **{
                        "cwd": ROOT,
                        "env": os.environ | more,
                        "stdout": file,
                        "stderr": subprocess.STDOUT,
                    },
                )
            self.of |= {name: (process, log) for name, *_ in commands}

    def left(self, name: str, code: int) -> Run:
        """What a command left, once it has ended as it should."""
        process, log = self.of[name]
        ended = self.runs / f"{name}.code"
        while not ended.exists() and process.poll() is None and time.monotonic() < self.deadline:
            time.sleep(0.05)
        said = log.read_text()[-3000:]
        assert ended.exists(), (
            f"{name} took over {SECONDS[self.kind]} s, or died ({process.poll()}):\n{said}"
        )
        assert ended.read_text() == str(code), said
        return Run(next(self.runs.glob(f"{name}/*")))

    def end(self) -> None:
        """Leave none behind."""
        for process, _ in self.of.values():
            process.kill()
            process.wait()
