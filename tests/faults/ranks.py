"""One of two processes is lost: the other says which and ends, and the run goes on from its last
checkpoint.
"""

import csv
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.faults.process import python, start, torchrun_two
from tests.faults.trial import SECONDS, Outcome, prepare

SETTINGS = (
    *(
        "trainer=ddp",
        "trainer.devices=2",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "data.batch_size=32",
    ),
    *(
        "epochs=6",
        "warmup_epochs=1",
        "trainer.limit_train_batches=10",
        "callback.checkpoint.last_every_n_steps=5",
    ),
    *("callback=[interruption,lost_rank,checkpoint,results,epoch_end]", "resume=auto"),
)
STEPS = 60


def lost_rank(killed: int, at: float, room: Path) -> Outcome:
    """`python train.py` on two processes; SIGKILL to one of them at some step, then the same
    command again.
    """
    process = _start(room, python)
    ranks = _ranks(process, room, at)
    if ranks is None:
        return Outcome(None, "", [f"it did not begin: {_last(room)}"])
    os.kill(ranks[killed], signal.SIGKILL)
    begun = time.monotonic()
    while _lives(ranks[1 - killed]) and time.monotonic() - begun < 60:
        time.sleep(0.1)
    seconds, said = time.monotonic() - begun, _last(room)
    process.join(1)
    wrong = [] if seconds < 60 else ["the other process did not end in 60 s"]
    wrong += [] if f"rank {killed} was lost" in said else [f"said {said!r}"]
    return Outcome(process.exitcode, said, wrong + _went_on(_start(room, python), room))


def restarted(at: float, room: Path) -> Outcome:
    """`torchrun --max-restarts 1`; SIGKILL to one process at some step, and nobody does
    anything.
    """
    process = _start(room, partial(torchrun_two, 1))
    ranks = _ranks(process, room, at, children_only=True)
    if ranks is None:
        return Outcome(None, "", [f"it did not begin: {_last(room)}"])
    os.kill(ranks[random.Random(at).randrange(2)], signal.SIGKILL)
    wrong = _went_on(process, room)
    return Outcome(process.exitcode, _last(room), wrong)


def _start(room: Path, program: Callable[[], Any]) -> BaseProcess:
    (room / "tmp").mkdir(exist_ok=True)
    surroundings = {"TMPDIR": str(room / "tmp"), "OMP_NUM_THREADS": "1", "MIM_TRACEBACK": "0"}
    arguments = [*SETTINGS, f"hydra.run.dir='{room / 'run'}'"]
    return start(arguments, room / "output.log", partial(prepare, surroundings), program)


def _ranks(
    process: BaseProcess, room: Path, at: float, children_only: bool = False
) -> list[int] | None:
    """Both processes, once the run has written a checkpoint, and a little later."""
    begun = time.monotonic()
    while not (room / "run" / "checkpoints" / "last.ckpt").exists():
        if not process.is_alive() or time.monotonic() - begun > SECONDS:
            return None
        time.sleep(0.02)
    time.sleep(at * 0.5)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    return [*([] if children_only else [process.pid]), *map(int, children)][:2]


def _went_on(process: BaseProcess, room: Path) -> list[str]:
    process.join(SECONDS)
    code = process.exitcode
    if code is None:
        os.killpg(process.pid, signal.SIGKILL)
        return [f"it did not go on within {SECONDS} s"]
    with (room / "run" / "metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    wrong = [] if code == 0 else [f"it went on to exit code {code}: {_last(room)}"]
    return wrong + ([] if steps == list(range(STEPS)) else [f"steps are {steps}"])


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _last(room: Path) -> str:
    """The last line of the kind that a run ends with, else the last of all."""
    lines = (room / "output.log").read_text(errors="replace").splitlines()
    return next(
        (line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else ""
    )


RANK_FAULTS = {
    "SIGKILL of rank 1 of 2": partial(lost_rank, 1),
    "SIGKILL of rank 0 of 2": partial(lost_rank, 0),
    "SIGKILL of a rank under torchrun --max-restarts": restarted,
}
