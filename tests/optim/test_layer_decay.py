"""Rates that fall from layer to layer; the official ones are in
tests/parity/test_official_finetune.py.
"""

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.optim.follow import Follow
from mim.optim.layer_decay import layer_decay_groups, layer_numbers
from mim.optim.schedule import WarmupCosine
from mim.optim.simmim import RunningCosine
from mim.pool.simple import Cls, Mean
from tests.e2e.my_encoder import Registers


def test_layers_are_counted_from_the_patches_to_what_follows_the_blocks():
    numbers = layer_numbers(ViT(image_size=16, patch_size=8, width=8, depth=2, heads=2))
    assert numbers["patch_embed.proj.weight"] == numbers["cls_token"] == numbers["pos_embed"] == 0
    assert (numbers["blocks.0.norm1.weight"], numbers["blocks.1.mlp.fc2.bias"]) == (1, 2)
    assert numbers["norm.weight"] == 3


def test_what_stands_before_the_blocks_of_somebody_s_own_encoder_is_layer_0_whatever_its_names():
    numbers = layer_numbers(Registers(16, 8, 8, 2, 2))
    assert {name for name, number in numbers.items() if number == 0} == {
        "first",
        "position",
        "project.weight",
        "project.bias",
    }
    assert numbers["blocks.1.norm1.weight"] == 2
    assert numbers["norm.weight"] == 3


def test_what_merges_patches_belongs_to_the_block_before():
    numbers = layer_numbers(Swin(32, 8, 8, [2, 1], [2, 2], 2))
    merging = {number for name, number in numbers.items() if "downsample" in name}
    assert merging == {numbers["layers.0.blocks.1.norm1.weight"]} == {2}
    assert numbers["layers.1.blocks.0.norm1.weight"] == 3
    assert numbers["norm.weight"] == 4


def test_a_bias_shared_by_all_blocks_follows_them():
    numbers = layer_numbers(Beit(16, 8, 8, 2, 2, positions="shared_bias"))
    assert numbers["rel_pos_bias.relative_position_bias_table"] == 3


def test_frozen_parameters_are_in_no_group_and_all_others_in_one():
    model = Classifier(ViT(16, 8, 8, 3, 2), {"cls": Cls()}, 4)
    model.freeze(1)
    groups = layer_decay_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    given = [p for group in groups for p in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(given) == len({id(p) for p in given})
    assert {group["lr"] for group in groups} == {1.0, 0.5}


@pytest.mark.parametrize("layer_decay", [0.0, -1.0, 1.5])
def test_a_factor_that_makes_no_sense_is_refused(layer_decay):
    with pytest.raises(ValueError, match="more than 0 and at most 1"):
        layer_decay_groups(
            Classifier(ViT(16, 8, 8, 1, 2), {"mean": Mean()}, 4), 1.0, 0.1, layer_decay
        )


def rates(schedule, steps):
    """Of two groups, whose peaks are 1 and 0.1, at steps of a training of 10 epochs of 1 step."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": peak} for peak in (1.0, 0.1)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = Follow(optimizer, schedule, lr=1.0, steps=10, passes=1)
    seen = []
    for _ in range(steps):
        seen.append(tuple(group["lr"] for group in optimizer.param_groups))
        optimizer.step()
        scheduler.step()
    return seen


def test_the_smallest_rate_of_mae_falls_with_the_layers_and_that_of_simmim_is_one_for_all():
    """MAE multiplies what the schedule gives (util/lr_sched.py); timm's schedulers end every group
    at one rate.
    """
    for high, low in rates(WarmupCosine(2, min_lr=0.02), 10):
        assert low == pytest.approx(0.1 * high)
    simmim = rates(RunningCosine(2, min_lr=0.02, warmup_lr=0.01), 10)
    assert simmim[0] == simmim[1] == pytest.approx((0.01, 0.01))  # set after a step
    assert simmim[9][0] > simmim[9][1] > 0.02
