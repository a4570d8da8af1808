"""Decay towards the weights that a training began from: by hand, of the encoder alone, by each
group's rate.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mim.geometry import Geometry
from mim.loss.term import Term
from mim.optim.to_start import DecayToStart
from mim.target.pixel import Pixel
from mim.train.pretrain import Pretrain


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 1), nn.Linear(1, 1)


def begun(strength):
    model = Model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(2.0)
    start = DecayToStart(model, strength)
    start.begin(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(5.0)
            parameter.grad = torch.ones_like(parameter)
    return model, start


def test_a_step_by_hand():
    model, start = begun(strength=0.5)
    optimizer = torch.optim.SGD(
        [
            {"params": [model.encoder.weight, model.decoder.weight], "lr": 0.1},
            {"params": [model.encoder.bias, model.decoder.bias], "lr": 0.2},
        ]
    )
    start.pull_after_steps(model, optimizer)
    optimizer.step()
    # 5 - 0.1 = 4.9, then 4.9 - 0.1 * 0.5 * (4.9 - 2); 5 - 0.2 = 4.8, then 4.8 - 0.2 * 0.5 * (4.8 -
    # 2)
    assert torch.allclose(model.encoder.weight, torch.tensor(4.755))
    assert torch.allclose(model.encoder.bias, torch.tensor(4.52))
    assert model.decoder.weight.item() == pytest.approx(4.9)  # no start to go back to
    assert model.decoder.bias.item() == pytest.approx(4.8)


@given(strength=st.floats(0.01, 1.0), steps=st.integers(1, 20))
def test_without_a_gradient_weights_only_come_nearer(strength, steps):
    model, start = begun(strength)
    optimizer = torch.optim.AdamW(model.encoder.parameters(), lr=0.5, weight_decay=0.0)
    start.pull_after_steps(model, optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for _ in range(steps):
        optimizer.step()
    wanted = 2 + 3 * (1 - 0.5 * strength) ** steps
    assert torch.allclose(model.encoder.weight, torch.full((1, 2), wanted), atol=1e-4)


def test_a_checkpoint_has_the_start_and_no_gradient_reaches_it():
    _, start = begun(1.0)
    assert {name: value.mean().item() for name, value in start.state_dict().items()} == {
        "encoder.weight": 2.0,
        "encoder.bias": 2.0,
    }
    assert not any(parameter.requires_grad for parameter in start.parameters())
    assert not start.train().training


@pytest.mark.parametrize("decayed", ["matrices", "all"])
def test_an_encoder_that_goes_back_to_its_start_is_not_decayed_to_zero_as_well(decayed):
    # of encoder and decoder each a matrix and a bias
    wanted = {"matrices": [(0.0, 3), (0.1, 1)], "all": [(0.0, 2), (0.1, 2)]}
    task = Pretrain(
        lambda target_dims: Model(),
        Term(Pixel(Geometry.of(2, 2))),
        torch.optim.SGD,
        lambda *_: 1.0,
        1e-3,
        0.1,
        decayed=decayed,
        decay_to_start=0.5,
    )
    names = {f"model.encoder.{name}" for name in ("weight", "bias")}
    groups = task._groups(names)
    found = sorted((group["weight_decay"], len(group["params"])) for group in groups)
    assert found == wanted[decayed]
    assert task.start is not None
    assert not any(p is own for g in groups for p in g["params"] for own in task.start.parameters())
