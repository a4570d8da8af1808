"""Stopping and going on: resumed losses equal those of the run that was never stopped, bit for
bit.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.run.checkpoint import Checkpoint
from tests.slow import slow

ROOT = Path(__file__).parents[2]
WATCH = ("callback=[finite,interruption,checkpoint,results]", "encoder.drop_path=0.2")


@pytest.mark.parametrize("step", [4, slow(10), slow(13)])
def test_a_run_resumed_at_any_step_repeats_the_undisturbed_one(train, stopped_after, step):
    undisturbed = train(*WATCH)
    stopped = stopped_after(step, *WATCH)
    assert stopped.results["status"] == "interrupted"
    assert stopped.results["steps"] == step
    assert f"resume={stopped.folder / 'checkpoints' / 'last.ckpt'}" in stopped.err

    resumed = train(*WATCH, f"resume={stopped.folder}")
    assert resumed.code == 0
    before, after, whole = (run.column("train/loss") for run in (stopped, resumed, undisturbed))
    assert before | after == whole
    assert min(after) == step
    ours, theirs = (run.checkpoint["state_dict"] for run in (resumed, undisturbed))
    assert all(weight.equal(theirs[name]) for name, weight in ours.items())


@pytest.mark.slow
@pytest.mark.parametrize("step", [5, 6, 9])
def test_a_run_resumed_with_another_number_of_accumulated_batches_goes_on_in_the_same_place(
    train, stopped_after, step
):
    """Six steps of 200 images an epoch; first as four batches of 50, then as one."""
    settings = ("callback=[interruption,checkpoint,results]", "images_per_step=200")
    undisturbed = train(*settings, "data.batch_size=200")
    stopped = stopped_after(step, *settings, "data.batch_size=50")
    resumed = train(*settings, "data.batch_size=200", f"resume={stopped.folder}")
    assert resumed.results["steps"] == 12
    after, whole = (run.column("train/loss") for run in (resumed, undisturbed))
    assert list(after) == list(range(step, 12))
    assert [float(after[at]) for at in after] == pytest.approx(
        [float(whole[at]) for at in after], abs=1e-5
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(train, runs):
    """SIGKILL leaves no chance to save: what counts is the checkpoint that was written while
    training.
    """
    overrides = [
        *(
            "epochs=2",
            "warmup_epochs=1",
            "trainer.log_every_n_steps=1",
            "trainer.accelerator=cpu",
            *WATCH,
        ),
        *("callback.checkpoint.last_every_n_steps=3", "name=killed"),
    ]
    process = subprocess.Popen(
        [sys.executable, "train.py", *overrides],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(runs.glob("killed/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    (folder,) = runs.glob("killed/*")
    assert not (folder / "results.json").exists()
    undisturbed = train(*WATCH)
    resumed = train(*WATCH, f"resume={folder}")
    after, whole = (run.column("train/loss") for run in (resumed, undisturbed))
    assert 3 <= min(after) < 20
    # another process may choose other thread counts, so its part is compared to rounding; what this
    # one computes, too
    assert all(float(after[step]) == pytest.approx(float(whole[step]), abs=1e-5) for step in after)


@pytest.fixture
def broken_at(train, monkeypatch):
    """A training whose weights break after a step, once its checkpoint is written; and what they
    were.
    """

    def run(step, *overrides):
        saved = {}

        def poison(
            self, trainer, pl_module, outputs, batch, batch_idx, go_on=Checkpoint.on_train_batch_end
        ):
            go_on(self, trainer, pl_module, outputs, batch, batch_idx)
            if trainer.global_step == step:
                saved.update(
                    {name: weight.clone() for name, weight in pl_module.state_dict().items()}
                )
                with torch.no_grad():
                    pl_module.model.decoder.predict.bias.fill_(float("nan"))

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "on_train_batch_end", poison)
            return train(*WATCH, *overrides), saved

    return run


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_good_checkpoint(broken_at):
    run, saved = broken_at(12, "callback.checkpoint.last_every_n_steps=12")
    assert run.code == 1
    assert run.err.startswith("error: the loss is not finite since step 13")
    assert run.results["status"] == "failed"
    assert all(weight.equal(saved[name]) for name, weight in run.checkpoint["state_dict"].items())


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            ["trainer.precision=bf16-mixed"],
            ["base_lr=0.0015", "trainer.gradient_clip_val=1", "trainer.precision=32-true"],
        ),
        slow(
            ["lr=1e-3", "trainer.gradient_clip_val=0.4"],
            ["lr=0.0005", "trainer.gradient_clip_val=0.2"],
        ),
        slow(["clip=each_parameter"], ["base_lr=0.0015"]),
    ],
)
def test_what_is_advised_then_works_as_it_is_printed(broken_at, train, settings, advice):
    settings = ["callback=[finite,checkpoint,results]", *settings]
    run, _ = broken_at(12, "callback.checkpoint.last_every_n_steps=12", *settings)
    resume, first, *more = (
        run.err.partition("go on with ")[2].replace(" or ", " ").replace(" and ", " ").split()
    )
    assert [first, *more] == advice
    for setting in advice:
        resumed = train(*WATCH, *settings, resume, setting)
        assert resumed.code == 0, resumed.err
        assert min(resumed.column("train/loss")) == 12
        name, _, value = setting.partition("=")
        assert re.search(rf"changed: .*{name} \S+ -> {value}\b", resumed.out)


def test_before_the_first_checkpoint_it_is_to_begin_again(broken_at):
    run, _ = broken_at(3)
    assert (
        "there is no checkpoint yet: begin again with base_lr=0.0015 or trainer.gradient_clip_val=1"
        in run.err
    )


def test_a_full_disk_leaves_the_previous_checkpoint(train, monkeypatch):
    real, calls = torch.save, []

    def full_the_second_time(thing, file):
        calls.append(file)
        if len(calls) == 2:
            file.write(b"half a checkpoint")
            raise OSError(28, "No space left on device")
        real(thing, file)

    monkeypatch.setattr(torch, "save", full_the_second_time)
    run = train(*WATCH, "callback.checkpoint.last_every_n_steps=5")
    assert run.code == 1
    assert "No space left on device" in run.err
    assert "the previous last.ckpt is untouched" in run.err
    assert run.checkpoint["global_step"] == 5
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["last.ckpt"]


def test_files_that_would_run_code_are_not_loaded(tmp_path):
    torch.save({"run": os.system}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match=r"weights_only|Unsupported|WeightsUnpickler"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt")


def test_what_was_measured_before_training_is_in_the_metrics_of_every_attempt_once(
    train, stopped_after
):
    settings = (
        "callback=[interruption,online_probe,checkpoint,results]",
        "~callback.online_probe.judges.linear",
    )
    few = ("callback.online_probe.bank_limit=100", "callback.online_probe.held_out_limit=100")
    stopped = stopped_after(1, *settings, *few)
    anew = train(*settings, *few, f"resume={stopped.folder}")
    again = train(*settings, *few, "resume=auto", f"hydra.run.dir={stopped.folder}")
    undisturbed = train(*settings, *few)
    assert undisturbed.column("knn/top1_untrained").keys() == {0}
    for folder in (stopped.folder, anew.folder):
        run = undisturbed._replace(folder=folder)
        assert run.column("knn/top1_untrained") == undisturbed.column("knn/top1_untrained")
        assert run.metrics["knn/top1_untrained"] == undisturbed.metrics["knn/top1_untrained"]
    assert again.code == 0
