"""A step of each method, compiled into one graph in bf16: the loss and gradients of an eager one,
and no second compiling.
"""

import pytest
import torch
from hydra.utils import instantiate
from torch._dynamo.utils import counters

from mim.masker.attention_store import AttentionStore

STEPS = {
    "mae": "",
    "simmim": "model=simmim",
    "emae": "masker=emae loss=emae",
    "sbam": "masker=sbam",
    "amt": "masker=amt",
    "cae": "model=cae target@loss.term.codes.target=pixel loss.term.codes.error=l2",
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_one_graph_and_compiled_once(composed_command, batch_there, within, device, name):
    """By Inductor on a GPU; on a CPU, where that takes a minute, the graph is captured and run as
    it is.
    """
    torch.manual_seed(0)
    task = instantiate(composed_command(f"python train.py {STEPS[name]}").task).to(device)
    batches = []
    for number in range(2):
        image = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(number))
        # plain pictures and busy ones: SBAM hides more of the latter
        batches.append(
            batch_there(image * torch.logspace(-2, 0.5, 16).view(-1, 1, 1, 1), epoch=number)
        )
    for part in task.modules():
        if isinstance(part, AttentionStore):
            part.maps = torch.rand(16, 4, 4).half().to(device)

    def step(objective, batch):
        task.zero_grad()
        with torch.autocast(device.type, torch.bfloat16):
            loss, _, _ = objective(batch)
        loss.backward()
        return loss.item(), torch.nn.utils.get_total_norm(
            [p.grad for p in task.parameters() if p.grad is not None]
        ).item()

    eager = [step(task.objective, batch) for batch in batches]
    torch._dynamo.reset()
    counters.clear()
    backend = "inductor" if device.type == "cuda" else "eager"
    compiled = torch.compile(task.objective, fullgraph=True, backend=backend)
    ours = [step(compiled, batch) for batch in batches]
    assert counters["stats"]["unique_graphs"] == 1
    assert eager[0] != eager[1]
    pairs = list(zip(ours, eager, strict=True))
    within("error", max(abs(mine[0] / theirs[0] - 1) for mine, theirs in pairs), 1e-2)
    within("gradient_error", max(abs(mine[1] / theirs[1] - 1) for mine, theirs in pairs), 5e-2)


@pytest.mark.parametrize("name", STEPS)
def test_bf16_gives_the_loss_of_float32(composed_command, batch_there, within, device, name):
    """The same images, weights and masks; SBAM's rows of unequal length by another kernel on a
    GPU.
    """
    torch.manual_seed(0)
    task = instantiate(composed_command(f"python train.py {STEPS[name]}").task).to(device)
    image = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    batch = batch_there(image * torch.logspace(-2, 0.5, 16).view(-1, 1, 1, 1))
    losses, splits = [], []
    for half in (False, True):
        with torch.autocast(device.type, torch.bfloat16, enabled=half), torch.no_grad():
            loss, _, made = task.objective(batch)
        losses.append(loss.item())
        splits.append(made.split)
    assert splits[0].masked.equal(splits[1].masked)
    if name == "sbam":
        assert splits[0].masked_valid.sum(-1).unique().numel() > 1
    within("error", abs(losses[1] / losses[0] - 1), 1e-2)
