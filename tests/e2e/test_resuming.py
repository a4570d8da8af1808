"""Going on with other settings: what is said is what happens."""

import pytest

from tests.slow import slow

QUIET = ("callback=[finite,interruption,checkpoint,results,epoch_end]", "data.batch_size=200")
SIX = 6  # steps of an epoch: 1,347 images


def group(run):
    return run.checkpoint["optimizer_states"][0]["param_groups"][1]


def test_rates_decay_and_betas_are_those_of_now(stopped_after, train):
    stopped = stopped_after(3, *QUIET)
    other = (
        "base_lr=0.001",
        "weight_decay=0.3",
        "optimizer.betas=[0.8,0.99]",
        "schedule.min_lr=1e-5",
    )
    resumed = train(*QUIET, f"resume={stopped.folder}", *other)
    assert (
        "resumed       at epoch 0 (counted from 0), step 3; changed: base_lr 0.003 -> 0.001, "
        in resumed.out
    )
    assert "weight_decay 0.05 -> 0.3" in resumed.out
    assert "optimizer.betas [0.9, 0.95] -> [0.8, 0.99]" in resumed.out
    assert group(resumed)["initial_lr"] == pytest.approx(0.001 * 200 / 256)
    assert group(resumed)["lr"] == pytest.approx(1e-5)
    assert group(resumed)["weight_decay"] == 0.3
    assert tuple(group(resumed)["betas"]) == (0.8, 0.99)
    assert resumed.column("train/loss") != stopped.column("train/loss")


def test_the_first_step_already_has_the_new_rate(stopped_after, train):
    """With a rate of almost nothing the weights stay where they are."""
    stopped = stopped_after(7, *QUIET)
    resumed = train(*QUIET, f"resume={stopped.folder}", "base_lr=1e-12")
    assert resumed.code == 0, resumed.err
    before, after = (run.checkpoint["state_dict"] for run in (stopped, resumed))
    assert all((before[name] - after[name]).abs().max() < 1e-9 for name in before)


@pytest.mark.parametrize(
    ("batch", "step", "epoch", "again"),
    [
        slow(100, 2 * SIX, 1, ""),
        (400, 2, 0, "; 200 images, which fill no step, are seen again"),
        slow(200, SIX + 1, 1, ""),
    ],
)
def test_with_another_batch_size_it_goes_on_after_the_same_images_and_ends_at_the_lowest_rate(
    stopped_after, train, batch, step, epoch, again
):
    stopped = stopped_after({100: SIX, 400: 5, 200: SIX + 1}[batch], *QUIET)
    resumed = train(*QUIET, f"data.batch_size={batch}", f"resume={stopped.folder}")
    step = {100: 13, 400: 2, 200: SIX + 1}[batch]
    assert f"at epoch {epoch} (counted from 0), step {step}{again}" in resumed.out
    assert resumed.results["steps"] == 2 * (1347 // batch)
    assert min(resumed.column("train/loss")) == step
    assert group(resumed)["lr"] == pytest.approx(0, abs=1e-12)


def test_longer_and_shorter(stopped_after, train):
    stopped = stopped_after(7, *QUIET)
    longer = train(*QUIET, f"resume={stopped.folder}", "epochs=3")
    assert longer.results["steps"] == 18
    assert "changed: epochs 2 -> 3" in longer.out
    refused = train(*QUIET, f"resume={longer.folder}", "epochs=2")
    assert refused.code == 1
    assert "3 epochs (18 steps) are done, which is more than is asked for" in refused.err


def test_other_images_are_refused(stopped_after, train):
    stopped = stopped_after(2, *QUIET)
    other = train(*QUIET, f"resume={stopped.folder}", "seed=1")
    assert other.code == 1
    assert "was trained with seed=0, and resume= cannot go on with 1" in other.err
    assert "checkpoint=" in other.err
