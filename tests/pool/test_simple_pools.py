"""Pools without weights, on tokens that can be pooled by hand."""

import pytest
import torch

from mim.pool.by_attention import CentreAttention, LowestEntropy, MeanAttention
from mim.pool.centre_patches import CentrePatches, centre
from mim.pool.pool import Shape, pool_tokens
from mim.pool.simple import Cls, ClsMean, Max, Mean, NormedMean

TOKENS = torch.tensor([[[9.0, 0.0], [1.0, 4.0], [3.0, 2.0]]])
PATCHES = TOKENS[:, 1:]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [(Cls(), [9, 0]), (Mean(), [2, 3]), (Max(), [3, 4]), (ClsMean(), [9, 0, 2, 3])],
)
def test_cls_mean_and_max_of_two_patches(pool, expected):
    assert pool(pool_tokens(TOKENS, 1, pool.needs)).tolist() == [expected]


def test_a_normed_mean_is_that_of_a_layer_norm_as_it_starts():
    patches = torch.randn(3, 5, 8) * 4 + 2
    expected = torch.nn.LayerNorm(8, eps=1e-6)(patches.mean(1))
    assert torch.allclose(NormedMean()(patches), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "side", "expected"),
    [
        ((4, 4), 1, [5]),
        ((4, 4), 2, [5, 6, 9, 10]),
        ((3, 3), 1, [4]),
        ((2, 4), 2, [1, 2, 5, 6]),
        ((3, 3), 2, [0, 1, 3, 4]),
    ],
)
def test_the_middle_of_a_grid(grid, side, expected):
    assert centre(grid, side) == expected


def test_centre_patches_are_averaged():
    patches = torch.arange(16.0).view(1, 16, 1)
    assert CentrePatches(Shape(1, (4, 4)), 2)(patches).item() == (5 + 6 + 9 + 10) / 4


def test_cls_attention_weights_patches_whatever_cls_keeps_to_itself():
    attention = torch.tensor([[[[0.3, 0.1]], [[0.0, 0.2]]]])  # two heads
    # 0.15 and 0.15, of 0.3
    assert torch.allclose(MeanAttention()(PATCHES, attention), torch.tensor([[2.0, 3.0]]))
    # the second head sees one patch only
    assert torch.allclose(LowestEntropy()(PATCHES, attention), PATCHES[:, 1])


def test_the_middle_looks_at_patches_and_the_release_divides_by_their_number():
    shape = Shape(2, (1, 2))
    attention = torch.tensor([[[[0.2, 0.6]]]])
    pool = CentreAttention(shape, 1)
    assert pool.needs.queries == (0,)
    assert torch.allclose(pool(PATCHES, attention), torch.tensor([[2.5, 2.5]]))
    assert torch.allclose(
        CentreAttention(shape, 1, as_released=True)(PATCHES, attention),
        torch.tensor([[1.25, 1.25]]),
    )


def test_a_middle_larger_than_the_picture_is_refused():
    with pytest.raises(
        ValueError, match="side=3 of the middle does not fit into 2 x 4 patches; needs 1 to 2"
    ):
        CentrePatches(Shape(8, (2, 4)), 3)
