"""Groups of an optimiser on their schedules; against official tables in
tests/parity/test_official_step_schedules.py.
"""

import pytest
import torch
from torch import nn

from mim.optim.follow import Follow
from mim.optim.number import Cosine
from mim.optim.schedule import Constant, CosineByEpoch, WarmupCosine
from mim.optim.simmim import RunningCosine


def start(schedule=None, decays=(0.04, 0.0), steps=10, decay=None, passes=1, lr=1.0):
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "weight_decay": value} for value in decays]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    return optimizer, Follow(optimizer, schedule or Constant(), lr, steps, passes, decay)


def walk(optimizer, scheduler, count):
    seen = []
    for _ in range(count):
        seen.append([(group["lr"], group["weight_decay"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def test_only_what_is_decayed_is_decayed_otherwise():
    seen = walk(*start(decay=Cosine(0.04, 0.4)), 10)
    assert [groups[0][1] for groups in seen[::5]] == pytest.approx([0.04, 0.22])
    assert {groups[1][1] for groups in seen} == {0.0}


def test_decay_does_not_change_unless_it_is_told_to():
    assert {groups[0][1] for groups in walk(*start(), 10)} == {0.04}


def test_a_resumed_schedule_goes_on_with_rate_and_decay():
    def fresh():
        return start(WarmupCosine(2), decay=Cosine(0.04, 0.4))

    whole = walk(*fresh(), 10)
    optimizer, scheduler = fresh()
    walk(optimizer, scheduler, 4)
    after, goes_on = fresh()
    after.load_state_dict(optimizer.state_dict())
    goes_on.load_state_dict(scheduler.state_dict())
    assert walk(after, goes_on, 6) == whole[4:]


def test_what_is_resumed_has_the_settings_of_now_and_not_those_it_was_saved_with():
    optimizer, scheduler = start(WarmupCosine(2))
    walk(optimizer, scheduler, 4)
    after, goes_on = start(WarmupCosine(2), decays=(0.1, 0.0), lr=0.5)
    after.load_state_dict(optimizer.state_dict())
    goes_on.load_state_dict(scheduler.state_dict())
    rate = 0.5 * optimizer.param_groups[0]["lr"]
    assert walk(after, goes_on, 1) == [[(rate, 0.1), (rate, 0.0)]]
    assert {group["initial_lr"] for group in after.param_groups} == {0.5}


def test_decay_that_has_nothing_to_start_from_is_refused():
    with pytest.raises(
        ValueError, match=r"weight_decay=0, which decays nothing; e\.g\. weight_decay=0\.04"
    ):
        start(decays=(0.0,), decay=Cosine(0.04, 0.4))


def test_a_cosine_by_epoch_has_one_rate_an_epoch():
    """Those of torch's CosineAnnealingLR."""
    rates = [groups[0][0] for groups in walk(*start(CosineByEpoch(0.1), steps=12, passes=3), 12)]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4, eta_min=0.1)
    for epoch in range(4):
        assert rates[3 * epoch : 3 * epoch + 3] == pytest.approx(
            [optimizer.param_groups[0]["lr"]] * 3
        )
        optimizer.step()
        torchs.step()


def test_a_warm_up_in_steps_counts_steps():
    rates = [
        groups[0][0]
        for groups in walk(*start(WarmupCosine(2, warmup_steps=4), steps=30, passes=3), 6)
    ]
    assert rates[:5] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    with pytest.raises(ValueError, match="warmup_steps=30 leaves nothing"):
        start(RunningCosine(0, warmup_steps=30), steps=30, passes=3)
