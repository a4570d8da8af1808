"""What holds for every training with a teacher: one graph, and bf16."""

import copy

import pytest
import torch
from hydra.utils import instantiate

from mim.part import Progress
from tests.slow import quick
from tests.teacher.taught import TAUGHT, taught, two_views


@pytest.fixture
def build(composed_command):
    """A training, as its command makes it, before a step."""

    def built(name):
        torch.manual_seed(0)
        task = instantiate(composed_command(f"python {taught(name)}").task).train()
        for part in task.parts:
            part.begin_step(Progress(0, 4, 2))
        return task

    return built


@pytest.mark.parametrize("name", quick(TAUGHT, "CMAE"))
def test_a_step_is_one_graph_with_the_same_loss(build, name):
    task = build(name)
    expected, *_ = copy.deepcopy(task).objective(two_views())
    found, *_ = torch.compile(task.objective, fullgraph=True, backend="eager")(two_views())
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()


@pytest.mark.parametrize("name", quick(TAUGHT, "data2vec", "BootMAE", "CMAE", "iBOT", "CAE"))
def test_a_step_under_bf16_is_near_that_of_float32(build, name):
    losses = []
    for half in (False, True):
        task = build(name)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss, *_ = task.objective(two_views())
        loss.backward()
        assert loss.dtype == torch.float32
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=3e-2)
