"""Positions against facebookresearch/mae, util/pos_embed.py."""

import pytest
import torch

from mim.encoder.positions import sincos_positions
from mim.weights.resize import interpolate_positions
from tests.stored import numbered


@pytest.mark.parametrize("index", numbered("pos_embed", "sincos"))
def test_sine_cosine_table_is_the_official_one(golden, distance, index):
    reference = golden("pos_embed")
    m = reference.meta["sincos"][index]
    ours = sincos_positions(m["dim"], (m["grid"], m["grid"]), cls=m["cls_token"])
    assert distance(ours, reference[f"sincos_{index}"]) < 1e-5


@pytest.mark.parametrize("index", numbered("pos_embed", "interpolate"))
def test_positions_reach_another_grid_as_published(golden, distance, index):
    reference = golden("pos_embed")
    m = reference.meta["interpolate"][index]
    old, new = reference[f"interp_{index}.old"], reference[f"interp_{index}.new"]
    ours = interpolate_positions(old, (m["old_grid"],) * 2, (m["new_grid"],) * 2)
    assert distance(ours, new) < 1e-5
    assert torch.equal(ours[:, 0], old[:, 0])


def test_prefix_tokens_keep_their_positions():
    """Registers stand behind cls: the patches are carried as they are without them."""
    positions = torch.randn(1, 3 + 16, 8, generator=torch.Generator().manual_seed(0))
    carried = interpolate_positions(positions, (4, 4), (2, 3), prefix=3)
    assert torch.equal(carried[:, :3], positions[:, :3])
    assert torch.equal(carried[:, 2:], interpolate_positions(positions[:, 2:], (4, 4), (2, 3)))
