"""optimizer=muon is timm's Muon: parameters after each of five steps, with its products in bfloat16
as it runs.
"""

import copy

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from tests.stored import Golden

META = Golden("muon").meta
VARIANTS = [v["name"] for v in META["variants"] if v["options"].get("algo", "muon") == "muon"]


def stepped(build, reference, variant):
    """Parameters by name after every step, (steps, ...)."""
    given = {name: nn.Parameter(reference[f"param.{name}"].clone()) for name in variant["params"]}
    groups = [{"params": [p], **variant["groups"].get(name, {})} for name, p in given.items()]
    optimizer = build(groups, **variant["options"])
    after = {name: [] for name in given}
    for step in range(META["steps"]):
        for name, p in given.items():
            p.grad = reference[f"grads.{name}"][step].clone()
        optimizer.step()
        for name, p in given.items():
            after[name].append(p.detach().clone())
    return {name: torch.stack(values) for name, values in after.items()}, optimizer


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_are_timms(golden, composed_command, name):
    """To 5e-2 of how far a parameter went: another reading of the method is further off."""
    reference, variant = golden("muon"), next(v for v in META["variants"] if v["name"] == name)
    build = instantiate(composed_command("train.py optimizer=muon").optimizer)
    after, optimizer = stepped(build, reference, variant)
    for parameter, values in after.items():
        expected = reference[f"{name}.bf16.{parameter}"]
        went = (expected[-1] - reference[f"param.{parameter}"]).abs().max()
        assert (values - expected).abs().max() / went < 5e-2, parameter
    used = {
        key: state["use_muon"]
        for key, state in zip(after, optimizer.state_dict()["state"].values(), strict=True)
    }
    assert used == variant["use_muon"]


def test_the_config_has_timms_settings(composed_command):
    given = composed_command("train.py optimizer=muon").optimizer
    named = {name: value for name, value in given.items() if not name.startswith("_")}
    assert len(named) == 7
    assert named == {name: META["defaults"][name] for name in named}


def test_a_stopped_optimiser_goes_on(golden, composed_command):
    """What it keeps of each parameter comes back out of a checkpoint."""
    reference, variant = (
        golden("muon"),
        next(v for v in META["variants"] if v["name"] == VARIANTS[0]),
    )
    build = instantiate(composed_command("train.py optimizer=muon").optimizer)
    after, optimizer = stepped(build, reference, variant)
    given = [nn.Parameter(values[-1].clone()) for values in after.values()]
    other = build([{"params": [p]} for p in given], **variant["options"])
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    grads = [reference[f"grads.{name}"][0] for name in after]
    for each in (other, optimizer):
        for group, grad in zip(each.param_groups, grads, strict=True):
            group["params"][0].grad = grad.clone()
        each.step()
    pairs = zip(other.param_groups, optimizer.param_groups, strict=True)
    assert all(torch.equal(a["params"][0], b["params"][0]) for a, b in pairs)
