import pytest
import torch
from torchvision.ops import roi_align

from mim.masker.crop_map import cut_map

NO_FLIP = torch.tensor([False])


def box(*edges):
    return torch.tensor([edges])


def test_the_whole_map_is_the_map_itself():
    maps = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(cut_map(maps, box(0.0, 0.0, 1.0, 1.0), NO_FLIP, (3, 4)), maps.flatten(1))


def test_a_flip_mirrors_left_and_right_after_the_crop():
    maps = torch.arange(16.0).view(1, 4, 4).expand(2, 4, 4)
    boxes = box(0.0, 0.5, 0.5, 1.0).expand(2, 4)  # the lower left quarter
    cut = cut_map(maps, boxes, torch.tensor([False, True]), (2, 2))
    assert cut.tolist() == [[8, 9, 12, 13], [9, 8, 13, 12]]


def test_between_centres_it_interpolates_and_beyond_them_it_is_constant():
    line = torch.tensor([[[0.0, 4.0]]])
    cut = cut_map(line, box(0.0, 0.0, 1.0, 1.0), NO_FLIP, (1, 8))  # centres at 0.25 and 0.75
    assert cut[0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    two = cut_map(line, box(0.0, 0.0, 1.0, 1.0), NO_FLIP, (1, 4), samples=(1, 2))
    assert two[0].tolist() == [0, 1, 3, 4]


def test_each_image_of_a_batch_is_cut_by_its_own_box():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(5, 14, 14, generator=generator)
    corner = torch.rand(5, 2, generator=generator) * 0.4
    boxes = torch.cat([corner, corner + 0.3 + torch.rand(5, 2, generator=generator) * 0.3], dim=1)
    flips = torch.tensor([True, False, True, False, True])
    together = cut_map(maps, boxes, flips, (7, 9), (3, 2))
    for i in range(5):
        alone = cut_map(maps[i : i + 1], boxes[i : i + 1], flips[i : i + 1], (7, 9), (3, 2))
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


@pytest.mark.parametrize(
    "edges", [(0.2, 0.1, 0.8, 0.6), (0.0, 0.0, 1.0, 1.0), (0.5, 0.0, 1.0, 0.03)]
)
def test_it_is_what_torchvision_aligns(edges):
    maps = torch.rand(1, 14, 14, generator=torch.Generator().manual_seed(0))
    ours = cut_map(maps, box(*edges), NO_FLIP, (6, 6), (4, 4)).view(6, 6)
    theirs = roi_align(maps[None], [box(*edges) * 14], (6, 6), sampling_ratio=4, aligned=True)[0, 0]
    assert torch.allclose(ours, theirs, atol=1e-5)
