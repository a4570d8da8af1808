"""Disks that take nothing: one line with the remedy, and a cache is never a reason to stop."""

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from mim.launch.disk import said_of_disk
from mim.logger.csv import CSV
from mim.run.non_finite_loss import StopOnNonFiniteLoss

QUIET = ("callback=[finite,checkpoint,results]", "callback.checkpoint.last_every_n_steps=5")


@pytest.fixture
def fails_at(monkeypatch):
    """The metrics file takes nothing from a step on."""

    def fail(step, number):
        log = CSV.log_metrics

        def refuse(self, metrics, **at):
            if at["step"] >= step:
                raise OSError(number, os.strerror(number), self.experiment.metrics_file_path)
            log(self, metrics, **at)

        monkeypatch.setattr(CSV, "log_metrics", refuse)

    return fail


@pytest.mark.parametrize(
    ("step", "remedy"), [(2, "give the same command again"), (7, "go on with resume={last}")]
)
def test_a_full_disk(train, fails_at, step, remedy):
    fails_at(step, errno.ENOSPC)
    run = train(*QUIET)
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert " is full (" in run.err
    assert run.err.endswith(remedy.format(last=run.folder / "checkpoints" / "last.ckpt") + "\n")
    assert run.results["status"] == "failed"


def test_a_folder_that_turns_read_only(train, fails_at):
    fails_at(7, errno.EROFS)
    run = train(*QUIET)
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert (
        f"error: {run.folder}/metrics.csv cannot be written (Read-only file system); choose "
        "another place" in run.err
    )
    assert (
        f"hydra.run.dir=<folder> and go on with resume={run.folder}/checkpoints/last.ckpt"
        in run.err
    )


def test_a_folder_that_cannot_be_made(train, monkeypatch, runs):
    make = Path.mkdir

    def refuse(self, *arguments, **named):
        if self.is_relative_to(runs):
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        make(self, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", refuse)
    run = train(*QUIET)
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert (
        " cannot be written (Permission denied); choose another place for runs, as "
        "MIM_RUNS=<folder>" in run.err
    )


def test_a_disk_that_fills_while_it_is_saved(train, monkeypatch):
    """The second checkpoint does not fit; the first one is whole, and named."""
    go_on = StopOnNonFiniteLoss.on_train_batch_end
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def shrink(self, trainer, *arguments):
        go_on(self, trainer, *arguments)
        if trainer.global_step == 8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, before[1]))

    try:
        with monkeypatch.context() as patch:
            patch.setattr(StopOnNonFiniteLoss, "on_train_batch_end", shrink)
            run = train(*QUIET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    last = run.folder / "checkpoints" / "last.ckpt"
    assert (run.code, run.err.count("\n")) == (1, 1)
    assert "the previous last.ckpt is untouched" in run.err
    assert run.err.endswith(f"Free some space and go on with resume={last}\n")
    assert train(*QUIET, f"resume={last}").code == 0


def test_another_error_is_none_of_the_disk(tmp_path):
    assert said_of_disk(ValueError("no"), tmp_path) is None
    assert (
        said_of_disk(
            PermissionError(errno.EACCES, "Permission denied", "/elsewhere/picture.jpg"), tmp_path
        )
        is None
    )
    assert (
        said_of_disk(FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "x")), tmp_path)
        is None
    )


@pytest.mark.parametrize("evaluation", ["knn", "probe"])
def test_a_cache_that_takes_nothing_is_said_and_done_without(train, command, tmp_path, evaluation):
    run = train("callback=[checkpoint,results]", "trainer.limit_train_batches=1")
    (tmp_path / "file").write_text("no folder")
    limits = ("bank_limit=64", "held_out_limit=32")
    asked = ("eval", f"checkpoint={run.folder}", f"evaluate={evaluation}", *limits)
    without, within = (
        command(*asked, "cache=null"),
        command(*asked, f"cache={tmp_path / 'file'}/cache"),
    )
    assert within.code == without.code == 0, within.err
    assert within.out.count(f"cache         {tmp_path / 'file'}/cache takes nothing (") == 1
    assert "cache=null" in within.out
    assert within.results[f"{evaluation}/top1"] == without.results[f"{evaluation}/top1"]
