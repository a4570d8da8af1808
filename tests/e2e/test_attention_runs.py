"""Masks that follow the network's own attention, in whole runs on the digits."""

import numpy as np
import pytest
import torch

from tests.slow import slow

# Runs that start within the same second need names of their own: their folders are called by name
# and time.
AMT = (
    *("masker=amt", "callback=[refresh_attention,interruption,checkpoint,results]"),
    *("callback.refresh_attention.every_n_epochs=2", "epochs=4", "trainer.limit_train_batches=3"),
)


@pytest.mark.parametrize("step", [slow(5), 6, slow(7)])  # before the refresh, at it, after it
def test_stopping_around_a_refresh_changes_no_loss(train, stopped_after, step):
    undisturbed = train(*AMT, "name=undisturbed")
    stopped = stopped_after(step, *AMT, "name=stopped")
    resumed = train(*AMT, f"resume={stopped.folder}")
    assert resumed.code == 0
    before, after, whole = (run.column("train/loss") for run in (stopped, resumed, undisturbed))
    assert before | after == whole
    maps = [np.load(run.folder / "attention.npy") for run in (resumed, undisturbed)]
    assert np.array_equal(*maps)
    assert maps[0].dtype == np.float16
    assert maps[0].std() > 0


def test_a_schedule_goes_on_where_it_stopped(train, stopped_after):
    scheduled = ("masker=scheduled", "masker.at_epoch=2", *AMT[1:])
    undisturbed = train(*scheduled, "name=undisturbed")
    stopped = stopped_after(7, *scheduled, "name=stopped")  # in mid-epoch, after the change
    resumed = train(*scheduled, f"resume={stopped.folder}")
    before, after, whole = (run.column("train/loss") for run in (stopped, resumed, undisturbed))
    assert before | after == whole


@pytest.mark.slow
def test_each_of_two_processes_looks_at_half_of_the_images_and_gets_all_maps(train, train_by_two):
    one, two = train(*AMT), train_by_two(*AMT, "data.batch_size=64")
    ours, theirs = (np.load(run.folder / "attention.npy").astype(float) for run in (one, two))
    assert ours.shape == (1347, 4, 4)
    # maps of float16, of weights that rounding has moved apart
    assert np.abs(ours - theirs).max() < 5e-3
    losses, others = one.column("train/loss"), two.column("train/loss")
    assert all(abs(float(loss) - float(others[step])) < 1e-4 for step, loss in losses.items())


def test_another_models_attention_is_looked_at_once_before_training(train):
    short = ("trainer.limit_train_batches=2", "epochs=2")
    teacher = train("name=teacher", "callback=[checkpoint,results]", *short)
    once = (
        "callback.refresh_attention.every_n_epochs=1",
        f"attention_from={teacher.folder}",
        *short,
    )
    run, other_seed = train(*AMT, *once), train(*AMT, *once, "seed=1", "name=other")
    assert run.code == 0, run.err
    assert run.column("train/loss") != other_seed.column("train/loss")
    maps = [np.load(each.folder / "attention.npy") for each in (run, other_seed)]
    assert np.array_equal(*maps)


def test_attention_from_what_is_no_checkpoint_is_refused_in_one_line(train):
    run = train(*AMT, "attention_from=nowhere", "name=refused")
    assert run.code == 1
    assert run.err.startswith("error: there is no nowhere; give ")
    assert run.err.count("\n") == 1


@pytest.mark.parametrize("masker", ["sbm", "sbam", "am", "amt", "attmask", "mst", "scheduled"])
def test_every_masker_trains_on_the_digits(train, masker):
    run = train(
        f"masker={masker}",
        "trainer.limit_train_batches=1",
        "callback=[refresh_attention,checkpoint,results]",
    )
    assert run.code == 0, run.err
    assert torch.isfinite(
        torch.tensor([float(loss) for loss in run.column("train/loss").values()])
    ).all()


def test_sbam_starts_from_the_weights_of_a_masked_autoencoder(train):
    short = ("callback=[checkpoint,results]", "trainer.limit_train_batches=2")
    start = train(*short, "name=start")
    run = train("masker=sbam", f"checkpoint={start.folder}", *short)
    assert run.code == 0, run.err
    first = [float(each.column("train/loss")[0]) for each in (start, run)]
    assert first[1] < first[0]


def test_a_masker_that_nobody_tells_where_to_look_is_refused(train):
    run = train("masker=amt", "callback=[results]")
    assert run.code == 1
    assert "add refresh_attention, e.g. callback=[refresh_attention,checkpoint,results]" in run.err
