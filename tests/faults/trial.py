"""Disturb a training, let it go on, and hold what it leaves against the run that was never
disturbed.
"""

import contextlib
import csv
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits

from tests.faults.faults import EPOCHS, STEPS_OF_AN_EPOCH, Fault
from tests.faults.process import start

SETTINGS = (
    *(
        f"epochs={EPOCHS}",
        "warmup_epochs=1",
        "data.batch_size=32",
        "masker=am",
        "encoder.drop_path=0.1",
    ),
    *(
        f"trainer.limit_train_batches={STEPS_OF_AN_EPOCH}",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
    ),
    "callback=[finite,interruption,refresh_attention,online_probe,checkpoint,results,epoch_end]",
    *("callback.checkpoint.last_every_n_steps=4", "callback.checkpoint.keep_every_n_epochs=1"),
    *("callback.refresh_attention.every_n_epochs=1", "watch_every_n_epochs=1", "resume=auto"),
    *("callback.online_probe.bank_limit=100", "callback.online_probe.held_out_limit=100"),
    "~callback.online_probe.judges.linear",
)
SECONDS = 300  # after which a training hangs, on a computer that does other things as well


class Undisturbed(NamedTuple):
    """The run that all others are held against."""

    numbers: dict[int, dict[str, str]]
    seconds: float


class Outcome(NamedTuple):
    """How a troubled run ended and went on; `wrong` is empty where everything is as it should
    be.
    """

    code: int | None
    said: str
    wrong: list[str]


def numbers(folder: Path) -> dict[int, dict[str, str]]:
    """What a run wrote about each step: losses and accuracies, as text, so that equality is bit for
    bit.
    """
    found: dict[int, dict[str, str]] = {}
    with (folder / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            kept = {
                name: value
                for name, value in row.items()
                if value and name in ("train/loss", "knn/top1")
            }
            found.setdefault(int(row["step"]), {}).update(kept)
    return found


@cache
def images() -> Path:
    """A few digits as files, for trainings that read with workers."""
    from PIL import Image

    root = Path(tempfile.mkdtemp(prefix="faults_images_"))
    digits = load_digits()
    for split, first in (("train", 0), ("val", 300)):
        for i in range(first, first + 240):
            folder = root / split / str(digits.target[i])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((digits.images[i] * 15.9).astype("uint8")).convert("RGB").save(
                folder / f"{i}.png"
            )
    return root


@cache
def undisturbed(settings: tuple[str, ...]) -> Undisturbed:
    """Train once without any trouble."""
    with tempfile.TemporaryDirectory() as room:
        # the first process takes longer: it waits for the imports
        _train(Path(room), ("--version",))
        begun = time.monotonic()
        code, said = _train(Path(room), settings)
        if code != 0:
            raise RuntimeError(f"the undisturbed run ended with {code}: {said}")
        return Undisturbed(numbers(Path(room) / "run"), time.monotonic() - begun)


def trial(fault: Fault, at: float, room: Path) -> Outcome:
    """One attempt with the trouble, at a moment `at` in [0, 1), and one without.

    Args:
        fault: the trouble.
        at: when.
        room: an empty folder for everything.
    """
    expected, shared = undisturbed(fault.settings), set(os.listdir("/dev/shm"))
    folder = room / "run"
    outside = fault.outside and partial(fault.outside, at=at, seconds=expected.seconds)
    code, said = _train(
        room,
        (*fault.settings, *fault.only_then),
        fault.inside and partial(fault.inside, at),
        outside,
    )
    # Python's own way to end; nothing was begun
    before_it_listened = code != 0 and not said and not folder.exists()
    wrong = [] if before_it_listened or code in fault.codes else [f"exit code {code}: {said}"]
    wrong += [] if fault.says in said else [f"said {said!r}"]
    wrong += _state(folder, code)
    lost = set() if folder.is_dir() else {"everything"}
    code_after, said_after = _train(room, fault.settings, log="going_on.log")
    if code_after != 0:
        return Outcome(code, said, [*wrong, f"going on ended with {code_after}: {said_after}"])
    ours = numbers(folder)
    missing = sorted(expected.numbers.keys() - ours.keys())
    deleted = "deleted" in getattr(fault.inside, "__name__", "") and not lost
    # what was measured before training comes back from the checkpoint; the losses of its row are
    # gone with the folder
    there = {
        step: row | ours[step] if deleted else ours[step]
        for step, row in expected.numbers.items()
        if step in ours
    }
    differ = [step for step, row in there.items() if row != expected.numbers[step]]
    if not deleted:
        wrong += [f"steps {missing} are missing"] if missing else []
        kept = sorted(path.name for path in (folder / "checkpoints").glob("epoch_*"))
        wrong += [f"kept {kept}"] if len(kept) != EPOCHS else []
    wrong += [f"steps {differ} differ"] if differ else []
    wrong += _left_behind(room, shared)
    return Outcome(code, said, wrong)


def _train(
    room: Path,
    settings: tuple[str, ...],
    inside: Callable[[], None] | None = None,
    outside: Callable[[int], None] | None = None,
    log: str = "troubled.log",
) -> tuple[int | None, str]:
    """Exit code and last line of a training in `room/run`; all that it says is in `room/log`."""
    (room / "tmp").mkdir(exist_ok=True)
    said = room / log
    said.unlink(missing_ok=True)
    surroundings = {"TMPDIR": str(room / "tmp"), "OMP_NUM_THREADS": "1", "MIM_TRACEBACK": "0"}
    arguments = [
        *SETTINGS,
        *(setting.format(images=images()) for setting in settings),
        f"hydra.run.dir='{room / 'run'}'",
    ]
    process = start(arguments, said, partial(prepare, surroundings, inside))
    if outside:
        outside(process.pid)
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        return None, f"it did not end in {SECONDS} s"
    # a signal may come before anything
    lines = said.read_text().splitlines() if said.exists() else []
    return process.exitcode, lines[-1] if lines else ""


def prepare(surroundings: dict[str, str], inside: Callable[[], None] | None = None) -> None:
    """Make a forked process one of its own, with something broken in it."""
    os.environ.update(surroundings)
    tempfile.tempdir = None
    torch.set_num_threads(1)
    if inside:
        inside()


def _state(folder: Path, code: int | None) -> list[str]:
    """What is wrong with what the troubled attempt left."""
    wrong = []
    for file in folder.glob("checkpoints/*.ckpt"):
        try:
            torch.load(file, weights_only=True)
        except Exception as error:
            wrong.append(f"{file.name} is broken ({type(error).__name__})")
    results = folder / "results.json"
    if results.exists():
        status = json.loads(results.read_text())["status"]
        right = {0: "finished", 85: "interrupted", 130: "interrupted", 1: "failed"}.get(code or 0)
        wrong += [] if status == right else [f"results.json says {status}"]
    return wrong


def _left_behind(room: Path, shared: set[str]) -> list[str]:
    """Files that nobody needs any more."""
    partial_files = [str(path.relative_to(room)) for path in room.rglob("*.partial")]
    temporary = [path.name for path in (room / "tmp").iterdir()]
    patient = time.monotonic() + 60  # what others make is soon in use, or gone
    while (memory := _unused(shared)) and time.monotonic() < patient:
        time.sleep(0.1)
    shutil.rmtree(room / "run")
    return [
        f"left behind: {', '.join(files)}" for files in (partial_files, temporary, memory) if files
    ]


def _unused(shared: set[str]) -> list[str]:
    """Shared memory that was not there before and that nobody holds."""
    new = set(os.listdir("/dev/shm")) - shared
    return sorted(name for name in new if not _in_use(f"/dev/shm/{name}"))


def _in_use(file: str) -> bool:
    """Whether some process holds a piece of shared memory: other programs have theirs there too."""
    with contextlib.suppress(FileNotFoundError):
        number = str(os.stat(file).st_ino)
        for maps in Path("/proc").glob("[0-9]*/maps"):
            with contextlib.suppress(OSError):
                lines = (
                    line.split(maxsplit=5)
                    for line in maps.read_text().splitlines()
                    if "/dev/shm" in line
                )
                # a semaphore is mapped under another name
                if any(line[4] == number for line in lines):
                    return True
        return False
    return True  # it went away meanwhile
