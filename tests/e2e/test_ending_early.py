"""Whatever ends a training before its time leaves a checkpoint, says so, and goes on as if nothing
had been.
"""

import pytest
import torch

from mim.run.non_finite_loss import StopOnNonFiniteLoss
from tests.slow import slow

WATCH = (
    "callback=[finite,interruption,online_probe,checkpoint,results]",
    "~callback.online_probe.judges.linear",
)
PRETRAIN = (
    *WATCH,
    "watch_every_n_epochs=1",
    "data.batch_size=200",
    "callback.online_probe.bank_limit=100",
)
FINETUNE = (
    "task=finetune",
    "callback=[finite,interruption,checkpoint,results]",
    "data.batch_size=200",
)
SIX = 6  # steps of an epoch: 1,347 images
COLUMNS = {"train/loss", "knn/top1", "val/top1", "val/loss", "val/top1_best"}


@pytest.fixture
def ended_by_a_callback(train, monkeypatch):
    """A training in which one asks for the end, from the given step on, in one of its hooks."""

    def run(hook, step, *settings):
        go_on = getattr(StopOnNonFiniteLoss, hook)

        def ask(self, trainer, *arguments):
            go_on(self, trainer, *arguments)
            trainer.should_stop = trainer.should_stop or trainer.global_step == step

        with monkeypatch.context() as patch:
            patch.setattr(StopOnNonFiniteLoss, hook, ask)
            return train(*settings)

    return run


def columns(run):
    header = (run.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    return {name: run.column(name) for name in COLUMNS & set(header)}


def same_weights(ours, theirs):
    ours, theirs = (run.checkpoint["state_dict"] for run in (ours, theirs))
    return all(weight.equal(theirs[name]) for name, weight in ours.items())


def went_on(train, early, settings):
    """It goes on in its own folder, to the weights and metrics of a run that was never ended."""
    undisturbed = train(*settings)
    again = train(*settings, "resume=auto", f"hydra.run.dir={early.folder}")
    assert again.code == 0, again.err
    again = again._replace(folder=early.folder)
    assert columns(again) == columns(undisturbed)
    assert again.metrics.keys() == undisturbed.metrics.keys()
    return same_weights(again, undisturbed)


@pytest.mark.parametrize(
    ("settings", "step", "plus"),
    [
        slow(PRETRAIN, 2, "+", id="pretrain-within"),
        slow(PRETRAIN, SIX, "", id="pretrain-at_its_end"),
        pytest.param(FINETUNE, 2, "+", id="finetune-within"),
        slow(FINETUNE, SIX, "", id="finetune-at_its_end"),
    ],
)
def test_a_number_of_steps(train, settings, step, plus):
    early = train(*settings, f"{plus}trainer.max_steps={step}")
    assert early.code == 0
    assert (
        f"stopped by trainer.max_steps={step}; continue with "
        f"resume={early.folder}/checkpoints/last.ckpt" in early.err
    )
    assert early.results["status"] == "interrupted"
    assert early.checkpoint["global_step"] == step
    assert went_on(train, early, settings)


@pytest.mark.parametrize(
    "settings", [pytest.param(PRETRAIN, id="pretrain"), slow(FINETUNE, id="finetune")]
)
def test_a_callback_that_has_enough_within_an_epoch(train, ended_by_a_callback, settings):
    early = ended_by_a_callback("on_train_batch_end", 2, *settings)
    assert early.code == 0
    assert "stopped by a callback (trainer.should_stop); continue with resume=" in early.err
    assert list(columns(early)["train/loss"]) == [0, 1]
    assert columns(early).keys() <= {"train/loss"}  # nothing is judged within an epoch
    assert early.checkpoint["global_step"] == 2
    assert went_on(train, early, settings)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [PRETRAIN, FINETUNE], ids=["pretrain", "finetune"])
def test_a_callback_that_has_enough_at_the_end_of_an_epoch(train, ended_by_a_callback, settings):
    early = ended_by_a_callback("on_train_epoch_end", SIX, *settings)
    assert early.code == 0
    assert (
        f"ended early   at step {SIX} of {2 * SIX}, stopped by a callback (trainer.should_stop); "
        "continue with" in early.out
    )
    assert early.results["status"] == "finished"
    assert early.checkpoint["global_step"] == SIX
    assert columns(early)["val/top1" if settings is FINETUNE else "knn/top1"].keys() == {SIX - 1}
    assert went_on(train, early, settings)


def test_the_same_command_again_does_nothing_and_a_higher_limit_goes_on(train):
    early = train(*PRETRAIN, "trainer.max_steps=3")
    here = ("resume=auto", f"hydra.run.dir={early.folder}")
    again = train(*PRETRAIN, "trainer.max_steps=3", *here)
    assert (again.code, early.checkpoint["global_step"]) == (0, 3)
    assert "stopped by trainer.max_steps=3" in again.err
    further = train(*PRETRAIN, "trainer.max_steps=5", *here)
    assert (further.code, early.checkpoint["global_step"]) == (0, 5)


def test_a_limit_beyond_the_end_ends_nothing(train):
    run = train(*FINETUNE, f"trainer.max_steps={2 * SIX}")
    assert (run.code, run.err, run.results["status"]) == (0, "", "finished")
    assert "ended early" not in run.out


@pytest.mark.parametrize(
    "settings", [slow(PRETRAIN, id="pretrain"), pytest.param(FINETUNE, id="finetune")]
)
@pytest.mark.parametrize("step", [2, slow(SIX), slow(SIX + 2)])
def test_a_length_in_steps_is_a_whole_training_and_goes_on_from_anywhere(
    train, stopped_after, settings, step
):
    """The last epoch has two steps; what comes at its end comes, also where it was all that was
    left to do.
    """
    settings = (*settings, f"steps={SIX + 2}", "warmup_steps=1")
    undisturbed = train(*settings)
    assert undisturbed.results["steps"] == SIX + 2
    judged = columns(undisturbed)["val/top1" if "task=finetune" in settings else "knn/top1"]
    assert judged.keys() == {SIX - 1, SIX + 1}
    assert went_on(train, stopped_after(step, *settings), settings)
    assert torch.isfinite(torch.tensor([float(value) for value in judged.values()])).all()
