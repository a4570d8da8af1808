import pytest
import torch

from mim.analysis.mask_statistics import statistics_of_masks
from mim.masker.split import Split

SCORE = torch.arange(8.0).expand(2, 8)


def test_masked_and_thrown_patches_are_counted_without_padding():
    split = Split(
        visible=torch.tensor([[[0, 1]], [[0, 3]]]),
        masked=torch.tensor([[[7, 6, 5]], [[7, 1, 2]]]),
        visible_valid=torch.tensor([[[True, True]], [[True, False]]]),
        masked_valid=torch.tensor([[[True, True, True]], [[True, True, False]]]),
    )
    found = statistics_of_masks(split, SCORE)
    assert found.masked == pytest.approx((3 + 2) / 16)
    assert found.thrown == pytest.approx((3 + 5) / 16)
    assert found.in_upper_half == pytest.approx((1 + 1 / 2) / 2)


def test_entropy_is_1_where_every_place_is_masked_alike_and_0_where_one_always_is():
    everywhere = Split(
        visible=torch.tensor([[[0, 1, 2, 3]], [[4, 5, 6, 7]]]),
        masked=torch.tensor([[[4, 5, 6, 7]], [[0, 1, 2, 3]]]),
    )
    assert statistics_of_masks(everywhere, SCORE).entropy == pytest.approx(1)
    one = Split(visible=torch.tensor([[[0]], [[1]]]), masked=torch.tensor([[[5]], [[5]]]))
    assert statistics_of_masks(one, SCORE).entropy == pytest.approx(0)


def test_random_masks_lie_half_in_the_upper_half():
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(4000, 1, 16, generator=generator).argsort(-1)
    found = statistics_of_masks(
        Split(order[..., :4], order[..., 4:]), torch.rand(4000, 16, generator=generator)
    )
    assert found.in_upper_half == pytest.approx(0.5, abs=0.01)
    assert found.entropy == pytest.approx(1, abs=1e-3)
