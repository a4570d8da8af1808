"""`compile=true` with each teacher, by command: one graph, the losses of the same run as it is, and
a stopped run goes on.
"""

from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters

from tests.teacher.taught import TAUGHT, run_of

SMALL = ("debug=limit", "images_per_step=8", "callback=[checkpoint,interruption,results]")


@pytest.mark.slow
@pytest.mark.parametrize("name", TAUGHT)
def test_a_compiled_run_is_one_graph_and_the_same_training(train, stopped_after, monkeypatch, name):
    """Without Inductor, which takes minutes on a CPU."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    settings = (*run_of(name), *SMALL)
    eager = train(*settings)
    compiled, graphs = {}, []
    for which in ("whole", "stopped", "resumed"):
        torch._dynamo.reset()
        counters.clear()
        run = partial(stopped_after, 4) if which == "stopped" else train
        resume = [f"resume={compiled['stopped'].folder}"] if which == "resumed" else []
        compiled[which] = run(*settings, "compile=true", *resume)
        graphs.append(counters["stats"]["unique_graphs"])
    assert graphs == [1, 1, 1]
    losses = {which: run.column("train/loss") for which, run in compiled.items()}
    assert losses["stopped"] | losses["resumed"] == losses["whole"]
    expected = {step: float(loss) for step, loss in eager.column("train/loss").items()}
    found = {step: float(loss) for step, loss in losses["whole"].items()}
    assert len(found) == 6
    assert found == pytest.approx(expected, rel=2e-6)
