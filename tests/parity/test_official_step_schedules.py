"""Learning rates and weight decays by step against DINO's tables, which iBOT has as well, and
CMAE's mmengine.
"""

import pytest
import torch
from torch import nn

from mim.optim.follow import Follow
from mim.optim.number import Cosine
from mim.optim.table import LinspaceCosine, MMLinearCosine


def in_force(schedule, m, what="lr", **more):
    """What the two groups of an optimiser have at each step; the second's peak is a tenth of the
    first's.
    """
    passes, peak = m["per_epoch"], m.get("lr", m.get("base"))
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": peak * share} for share in (1, 0.1)]
    optimizer = torch.optim.AdamW(groups, lr=peak, weight_decay=peak)
    scheduler = Follow(optimizer, schedule, peak, m["epochs"] * passes, passes, **more)
    seen = []
    for _ in range(m["epochs"] * passes):
        seen.append([group[what] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64).unbind(1)


@pytest.mark.parametrize("index", [0, 2])
def test_rates_are_those_of_the_official_table_and_scale_with_the_peak(golden, index):
    reference = golden("step_schedules")
    m = reference.meta["cosine_scheduler"][index]
    high, low = in_force(LinspaceCosine(m["warmup_epochs"], m["final"]), m)
    assert high.allclose(reference[f"cosine_{index}"], rtol=1e-12, atol=1e-18)
    assert low.allclose(high / 10, rtol=1e-12)
    rise = m["warmup_epochs"] * m["per_epoch"]
    assert high[rise - 1] == high[rise] == m["base"]


def test_a_rise_in_steps_is_that_of_as_many_epochs(golden):
    m = golden("step_schedules").meta["cosine_scheduler"][2]
    by_steps = in_force(
        LinspaceCosine(1, m["final"], warmup_steps=m["warmup_epochs"] * m["per_epoch"]), m
    )
    assert by_steps[0].equal(in_force(LinspaceCosine(m["warmup_epochs"], m["final"]), m)[0])


def test_weight_decays_are_those_of_the_official_table(golden):
    reference = golden("step_schedules")
    m = reference.meta["cosine_scheduler"][1]
    decays, _ = in_force(
        LinspaceCosine(0), m, "weight_decay", weight_decay=Cosine(m["base"], m["final"])
    )
    assert decays.allclose(reference["cosine_1"], rtol=1e-12)


@pytest.mark.parametrize("index", [0, 1])
def test_rates_are_those_of_mmengine_and_the_least_is_one_for_all_groups(golden, index):
    reference = golden("step_schedules")
    m = reference.meta["mmengine"][index]
    high, _ = in_force(MMLinearCosine(m["warm"], start=m["start_factor"]), m)
    assert high.allclose(reference[f"mm_{index}"], rtol=1e-10, atol=1e-18)
    high, low = in_force(MMLinearCosine(m["warm"], min_lr=5e-5, start=m["start_factor"]), m)
    assert low[0] == pytest.approx(high[0] / 10)
    assert low[-1] > 5e-5 > high[-1] / 10
