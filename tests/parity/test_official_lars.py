"""LARS, by the official MAE's numbers."""

import pytest
import torch

from mim.optim.lars import Lars
from tests.stored import numbered

NAMES = ("weight", "bias", "conv", "zero_weight", "zero_grad_weight", "scalar")


@pytest.mark.parametrize("number", numbered("lars"))
def test_three_steps_are_the_official_ones(golden, distance, number):
    stored = golden("lars")
    config = stored.meta["configs"][number]
    weights = {name: torch.nn.Parameter(stored[f"init.{name}"].clone()) for name in NAMES}
    optimizer = Lars(
        weights.values(),
        lr=config["lr"],
        weight_decay=config["weight_decay"],
        momentum=config["momentum"],
        trust=config["trust_coefficient"],
    )
    for step, multiplier in enumerate(stored.meta["lr_multiplier_per_step"]):
        for group in optimizer.param_groups:
            group["lr"] = config["lr"] * multiplier
        for name, weight in weights.items():
            weight.grad = stored[f"grads.{name}"][step].clone()
        optimizer.step()
        for name, weight in weights.items():
            wanted = stored[f"c{number}.step{step + 1}.{name}"]
            assert distance(weight.detach(), wanted) < 1e-5 if wanted.any() else not weight.any()
    if config["momentum"]:
        for name, weight in weights.items():
            wanted = stored[f"c{number}.mu.{name}"]
            assert torch.allclose(
                optimizer.state[weight]["momentum_buffer"], wanted, rtol=1e-5, atol=1e-7
            )


def test_groups_keep_their_own_rates_and_decay_matrices_only():
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    optimizer = Lars([{"params": [matrix, vector], "lr": 2.0, "weight_decay": 0.5}], lr=1.0)
    for weight in (matrix, vector):
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert vector.tolist() == [1, 1]
    assert torch.allclose(
        matrix, torch.full((2, 2), 1 - 2.0 * 1e-3)
    )  # the trust ratio takes the length of the decay out


def test_gradients_that_a_closure_makes_are_decayed():
    """Lightning gives the step a closure, which forgets the old gradients and makes new ones."""

    def stepped(by_closure):
        weight = torch.nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        optimizer = Lars([weight], lr=1.0, weight_decay=0.5)

        def closure():
            optimizer.zero_grad()
            loss = weight[0].square().sum()
            loss.backward()
            return loss

        for _ in range(2):
            if by_closure:
                assert optimizer.step(closure) > 0
            else:
                closure()
                optimizer.step()
        return weight.tolist()

    assert stepped(by_closure=True) == stepped(by_closure=False)
