"""The two views of CMAE, by the release's numbers: its draws are fed in."""

import pytest
import torch

from mim.augment.augmentation import Cut
from mim.augment.boxes import TorchvisionBoxes
from mim.augment.pictures import finished
from mim.augment.shifted_pair import ShiftedPair
from tests.stored import numbered


@pytest.mark.parametrize("number", numbered("cmae_shift"))
def test_views_are_cut_where_the_release_cuts_them(golden, number):
    stored = golden("cmae_shift")
    config, draws = stored.meta["configs"][number], stored[f"draws_{number}"].long()
    side, size, count = config["side"], config["size"], len(draws)
    augment = ShiftedPair(
        TorchvisionBoxes(), side - size, config["pixel"], jittered=0.0, grey=0.0, blur=0.0
    )
    image = stored[f"image_{number}"]
    still = torch.zeros(count, dtype=torch.bool)
    box = torch.tensor([[0, 0, side, side]]).expand(count, 4)
    view = finished(
        augment.views[1],
        [image] * count,
        Cut(box, still, draws),
        (size, size),
        torch.zeros(count).long(),
        torch.tensor([[side, side]]).expand(count, 2),
    )
    assert view.image.equal(stored[f"view_{number}"])
    corners = view.image[..., [0, 0, -1, -1], [0, -1, 0, -1]].mT
    assert corners.equal(stored[f"view_corners_{number}"])
    expected = torch.cat([draws.flip(1), draws.flip(1) + size], 1) / side
    assert torch.allclose(view.box, expected, atol=1e-6)


def test_the_online_view_is_the_top_left_and_both_share_crop_and_flip():
    online, target = ShiftedPair(TorchvisionBoxes()).views
    key, size = torch.arange(50), torch.tensor([[375, 500]]).expand(50, 2)
    one, other = online(key, size), target(key, size)
    assert one.box.equal(other.box)
    assert one.flip.equal(other.flip)
    assert one.corner[:, 0].eq(0).all()
    assert one.corner[~one.flip, 1].eq(0).all()
    assert one.corner[one.flip, 1].eq(32).all()  # the left of what is mirrored
    assert online.margin == target.margin == 32
