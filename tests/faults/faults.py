"""What can happen to a training, each in the words of the table, with the exit codes and messages
that it may end in.
"""

import multiprocessing
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mim.callback.online_probe import OnlineProbe
from mim.callback.refresh_attention import RefreshAttention
from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.masker.attention_store import AttentionStore
from mim.run.non_finite_loss import StopOnNonFiniteLoss
from mim.train.pretrain import Pretrain

STEPS_OF_AN_EPOCH, EPOCHS = 6, 3


class Fault(NamedTuple):
    """One kind of trouble.

    Attributes:
        inside: done in the training's process before it begins: it breaks something there. It gets
            a random number in [0, 1).
        outside: done to the running process, by its pid, with the same number and the seconds that
            a whole training takes.
        codes: exit codes that are right.
        says: what its last line has to hold.
        settings: overrides that the trouble needs, in the undisturbed run too.
        only_then: overrides of the troubled attempt alone.
    """

    inside: Callable[[float], None] | None = None
    outside: Callable[[int, float, float], None] | None = None
    codes: tuple[int, ...] = (85,)
    says: str = ""
    settings: tuple[str, ...] = ()
    only_then: tuple[str, ...] = ()


def _after(owner: type, method: str, do: Callable[..., None]) -> None:
    """Do something after every call of a method; it gets the call's arguments."""
    original = getattr(owner, method)

    def call(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        do(*arguments)
        return result

    setattr(owner, method, call)


def _before(owner: Any, method: str, do: Callable[..., None]) -> None:
    original = getattr(owner, method)

    def call(*arguments: Any, **named: Any) -> Any:
        do(*arguments)
        return original(*arguments, **named)

    setattr(owner, method, call)


def _at_step(step: int, do: Callable[[], None]) -> None:
    """In the middle of the run, between two callbacks."""
    _after(
        StopOnNonFiniteLoss,
        "on_train_batch_end",
        lambda self, trainer, *_: do() if trainer.global_step == step else None,
    )


def _step(at: float) -> int:
    """Some step that is not among the first or the last."""
    return 5 + int(at * (STEPS_OF_AN_EPOCH * EPOCHS - 7))


def _any_moment(signum: int, pid: int, at: float, seconds: float) -> None:
    time.sleep(at * seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def _all_processes(signum: int, pid: int, at: float, seconds: float) -> None:
    time.sleep(seconds / 2 + at * seconds / 2)
    with suppress(ProcessLookupError):
        os.killpg(pid, signum)


def _while_saving(signum: int, at: float) -> None:
    """Half of the file is on the disk."""
    save, calls, which = torch.save, [], 1 + int(at * 5)

    def slowly(content: Any, file: Any) -> None:
        calls.append(1)
        if len(calls) == which:
            file.write(b"half a checkpoint")
            file.flush()
            os.kill(os.getpid(), signum)
            file.seek(0)
        save(content, file)

    torch.save = slowly


def _once_saved(signum: int, at: float) -> None:
    """The file is in its place, and no logger has been told about its step."""
    calls: list[int] = []

    def count(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 1 + int(at * 8):
            os.kill(os.getpid(), signum)

    _after(AtomicCheckpointIO, "save_checkpoint", count)


def _while_refreshing(signum: int, at: float) -> None:
    looks = []

    def count(*_: Any) -> None:
        looks.append(1)
        if len(looks) == 1 + int(at * 2):
            os.kill(os.getpid(), signum)

    _before(RefreshAttention, "_look", count)


def _while_storing(signum: int, at: float) -> None:
    """The maps are on their way to the disk."""
    calls: list[int] = []
    import numpy as np

    def count(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signum)

    _before(np, "save", count)
    assert AttentionStore.write.__globals__["np"] is np


def _while_probing(signum: int, at: float) -> None:
    epoch = int(at * EPOCHS)

    def hit(self: Any, trainer: Any, *_: Any) -> None:
        if trainer.global_step == (epoch + 1) * STEPS_OF_AN_EPOCH:
            os.kill(os.getpid(), signum)

    _before(OnlineProbe, "judge", hit)


def _with_the_last_step(signum: int, at: float) -> None:
    _at_step((1 + int(at * EPOCHS)) * STEPS_OF_AN_EPOCH, partial(os.kill, os.getpid(), signum))


def _full_disk(at: float) -> None:
    """From some step on no file may be longer than 1 MB; a checkpoint has four."""
    _at_step(
        _step(at),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY)),
    )


def _deleted_folder(at: float) -> None:
    """Later a signal comes."""
    folders: list[Path] = []
    _after(
        OnlineProbe,
        "on_train_start",
        lambda self, trainer, *_: folders.append(Path(trainer.loggers[0].save_dir)),
    )
    _at_step(4 + int(at * 5), lambda: shutil.rmtree(folders[0]))
    _at_step(11 + int(at * 6), partial(os.kill, os.getpid(), signal.SIGTERM))


def _dead_worker(at: float) -> None:
    _at_step(_step(at), lambda: os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL))


def _stuck_worker(at: float) -> None:
    """It lives, and does nothing any more, as where a disk of a network hangs."""
    _at_step(_step(at), lambda: os.kill(multiprocessing.active_children()[0].pid, signal.SIGSTOP))


def _stuck_worker_and_signal(at: float) -> None:
    """The signal comes once a batch is waited for."""
    _stuck_worker(at)
    _at_step(_step(at), threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGTERM)).start)


def _nan(at: float) -> None:
    """In one image, at some step."""

    def poison(self: Any, batch: Any, *_: Any) -> None:
        if self.trainer.global_step == _step(at):
            batch.image[0] = float("nan")

    _before(Pretrain, "training_step", poison)


def _slow_steps(at: float) -> None:
    """Long enough that the time limit of two seconds comes before the end."""
    _after(StopOnNonFiniteLoss, "on_train_batch_end", lambda *_: time.sleep(0.3))


WORKERS = ("data=image_folder", "data.root={images}", "data.num_workers=2", "data.image_size=32")
SOON_STUCK = ("callback.interruption.stuck_after_seconds=3",)
KILLED = (-signal.SIGKILL,)
SOON = (85, 0)  # a signal at any moment may come when everything is done

FAULTS: dict[str, Fault] = {
    **{
        f"{signum.name} at any moment": Fault(outside=partial(_any_moment, signum), codes=(code, 0))
        for signum, code in ((signal.SIGTERM, 85), (signal.SIGUSR1, 85), (signal.SIGINT, 130))
    },
    "SIGTERM while a checkpoint is written": Fault(
        partial(_while_saving, signal.SIGTERM), codes=SOON
    ),
    "SIGTERM while attention is looked at": Fault(partial(_while_refreshing, signal.SIGTERM)),
    "SIGUSR1 while attention is stored": Fault(partial(_while_storing, signal.SIGUSR1)),
    "SIGTERM while features are judged": Fault(partial(_while_probing, signal.SIGTERM), codes=SOON),
    "SIGINT with the last step of an epoch": Fault(
        partial(_with_the_last_step, signal.SIGINT), codes=(130,)
    ),
    "SIGTERM to the workers too": Fault(
        outside=partial(_all_processes, signal.SIGTERM), codes=SOON, settings=WORKERS
    ),
    "SIGKILL at any moment": Fault(
        outside=partial(_any_moment, signal.SIGKILL), codes=(*KILLED, 0)
    ),
    "SIGKILL while a checkpoint is written": Fault(
        partial(_while_saving, signal.SIGKILL), codes=KILLED
    ),
    "SIGKILL once a checkpoint is written": Fault(
        partial(_once_saved, signal.SIGKILL), codes=KILLED
    ),
    "a full disk": Fault(_full_disk, codes=(1,), says="could not write"),
    "a deleted run folder": Fault(_deleted_folder),
    "a data worker dies": Fault(
        _dead_worker, codes=(1,), says="a process that reads data died", settings=WORKERS
    ),
    "a data worker is stuck": Fault(
        _stuck_worker,
        codes=(1,),
        says="a process that reads data has read nothing for",
        settings=WORKERS,
        only_then=SOON_STUCK,
    ),
    "SIGTERM while a data worker is stuck": Fault(
        _stuck_worker_and_signal, says="stopped by SIGTERM", settings=WORKERS
    ),
    "NaN in an image": Fault(_nan, codes=(1,), says="the loss is not finite since step"),
    "a time limit": Fault(
        _slow_steps, says="time limit", only_then=("trainer.max_time='00:00:00:02'",)
    ),
}
