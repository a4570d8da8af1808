import pytest

from mim.optim.simmim import RunningCosine, RunningCosineByEpoch, WarmupLine, WarmupSteps
from mim.part import Progress


def test_steps_rise_from_above_zero_and_fall_at_each_milestone():
    schedule = WarmupSteps(warmup_epochs=2, milestones=[6, 8], gamma=0.1, warmup_lr=0.25)
    shares = [schedule(Progress(epoch, 10, 1), 1.0) for epoch in (0, 1, 2, 5.9, 6, 7.9, 8, 9.9)]
    assert shares == pytest.approx([0.25, 0.625, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_running_cosine_is_below_its_peak_after_the_warm_up():
    schedule = RunningCosine(warmup_epochs=2, min_lr=0.1, warmup_lr=0.2)
    assert schedule(Progress(0, 10, 1), 1.0) == pytest.approx(0.2)
    assert schedule(Progress(2, 10, 1), 1.0) < 0.95
    assert schedule(Progress(10, 10, 1), 1.0) == pytest.approx(0.1)
    falling = [schedule(Progress(2 + epoch / 4, 10, 1), 1.0) for epoch in range(33)]
    assert falling == sorted(falling, reverse=True)


def test_a_rate_an_epoch_is_that_of_the_epoch_before():
    """timm 0.3.2's, which DeiT sets after each epoch: 0.2 twice, then a rise to 1 in two epochs."""
    by_epoch = RunningCosineByEpoch(warmup_epochs=2, min_lr=0.1, warmup_lr=0.2)
    running = RunningCosine(warmup_epochs=2, min_lr=0.1, warmup_lr=0.2)
    shares = [by_epoch(Progress(step, 40, 4), 1.0) for step in range(40)]
    assert shares[:12] == pytest.approx([0.2] * 8 + [0.6] * 4)
    assert shares[16] == pytest.approx(running(Progress(12, 40, 4), 1.0))
    assert all(len(set(shares[start : start + 4])) == 1 for start in range(0, 40, 4))


def test_no_warm_up_starts_at_the_peak():
    assert (
        WarmupSteps(0, [5])(Progress(0, 10, 1), 1.0)
        == RunningCosine(0)(Progress(0, 10, 1), 1.0)
        == 1
    )


def test_milestones_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"milestones=\[8, 6\].* milestones rise"):
        WarmupSteps(0, [8, 6])
    with pytest.raises(ValueError, match="none lies in the warm-up"):
        WarmupSteps(7, [6])
    with pytest.raises(ValueError, match=r"RunningCosine.warmup_epochs=-1"):
        RunningCosine(-1)


def test_a_line_falls_evenly_to_a_share_of_the_peak():
    schedule = WarmupLine(warmup_epochs=2, min_share=0.01, warmup_lr=0.1)
    assert schedule(Progress(0, 10, 1), 1.0) == pytest.approx(0.1)
    assert schedule(Progress(6, 10, 1), 1.0) == pytest.approx(1 - 0.99 / 2)
    assert schedule(Progress(10, 10, 1), 1.0) == pytest.approx(0.01)
    with pytest.raises(
        ValueError, match=r"min_share=1\.5 does not fit; it should be at least 0 and at most 1"
    ):
        WarmupLine(2, min_share=1.5)
