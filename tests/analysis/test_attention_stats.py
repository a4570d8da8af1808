import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.analysis.attention_stats import distances, head_statistics, update_statistics


def test_uniform_attention_worked_by_hand():
    L = 6
    stats = head_statistics(torch.full((1, 1, 1 + L, 1 + L), 1 / (1 + L)), (2, 3))
    value = {name: number.item() for name, number in stats._asdict().items()}
    for name in ("cls_to_cls", "patch_to_self", "cls_to_patch", "patch_to_cls"):
        assert value[name] == pytest.approx(1 / 7)
    for name in ("cls_to_cls_adjusted", "patch_to_self_adjusted"):
        assert value[name] == pytest.approx(1 / 6, rel=1e-5)
    assert value["cls_entropy"] == pytest.approx(math.log(6), rel=1e-5)
    assert value["patch_entropy"] == pytest.approx(math.log(6), rel=1e-5)


def test_half_to_the_cls_token_and_half_to_one_neighbour_worked_by_hand():
    matrix = torch.zeros(1, 1, 5, 5)  # a grid of 2 x 2, patch i is token 1 + i
    matrix[..., 0] = 0.5
    # patches look to the other one of their row
    for token, neighbour in ((0, 1), (1, 2), (2, 1), (3, 4), (4, 3)):
        matrix[..., token, neighbour] = 0.5
    value = {
        name: number.item() for name, number in head_statistics(matrix, (2, 2))._asdict().items()
    }
    assert value["cls_to_cls"] == 0.5
    assert value["cls_to_cls_adjusted"] == pytest.approx(1, rel=1e-5)
    assert value["patch_to_self"] == value["patch_to_self_adjusted"] == 0
    assert value["cls_to_patch"] == 0.125
    assert value["patch_to_cls"] == 0.5
    assert value["cls_entropy"] == value["patch_entropy"] == pytest.approx(0, abs=2e-6)
    assert value["distance"] == 1


def test_registers_that_get_nothing_change_nothing():
    """Two registers between cls and the patches, to which nobody attends."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(2, 3, 7, 7, generator=generator).softmax(-1)
    wider = torch.zeros(2, 3, 9, 9)
    wider[..., 1:3, 1:3] = 0.5
    kept = torch.tensor([0, *range(3, 9)])
    wider[..., kept[:, None], kept] = matrix
    for plain, with_registers in zip(
        head_statistics(matrix, (2, 3)), head_statistics(wider, (2, 3)), strict=True
    ):
        assert torch.allclose(plain, with_registers, atol=1e-6)
    residual, update = torch.rand(2, 2, 9, 4, generator=generator)
    plain = update_statistics(residual[:, kept], update[:, kept])
    assert torch.equal(
        update_statistics(residual, update, prefix=3).patch_update, plain.patch_update
    )


def test_distances_are_between_centres():
    expected = [[0, 1, 1, 2**0.5], [1, 0, 2**0.5, 1], [1, 2**0.5, 0, 1], [2**0.5, 1, 1, 0]]
    assert torch.allclose(distances((2, 2)), torch.tensor(expected))
    assert distances((1, 4))[0].tolist() == [0, 1, 2, 3]


def test_a_pattern_of_attention_has_the_distance_worked_by_hand():
    """In a row of four patches each looks halfway at itself and halfway at the last: (3 + 2 + 1 +
    0) / 2 / 4.
    """
    matrix = torch.zeros(1, 1, 5, 5)
    matrix[..., 1:, 1:] = 0.5 * torch.eye(4)
    matrix[..., 1:, 4] += 0.5
    matrix[..., 0, 0] = 1
    assert head_statistics(matrix, (1, 4)).distance.item() == 0.75


def test_entropy_at_196_patches_is_the_official_one():
    """The official expression in float64, for attention from spread out to nearly all on one
    patch.
    """
    sharpness = torch.tensor([0.0, 1.0, 4.0, 20.0, 80.0], dtype=torch.float64)[:, None]
    score = sharpness * torch.randn(
        5, 197, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    attention = score.softmax(-1)  # five heads, whose tokens all attend alike
    among = attention[:, 1:] / (attention[:, 1:].sum(-1, keepdim=True) + 1e-6)
    official = -(among * torch.log(among + 1e-6)).sum(-1)
    stats = head_statistics(attention.float()[None, :, None].expand(1, 5, 197, 197), (14, 14))
    assert torch.allclose(stats.cls_entropy[0].double(), official, atol=2e-6)
    assert torch.allclose(stats.patch_entropy[0].double(), official, atol=2e-6)
    exact = torch.special.entr(attention[:, 1:] / attention[:, 1:].sum(-1, keepdim=True)).sum(-1)
    assert (official - exact).abs().max() > 4e-5  # without its 1e-6 it is another number


@settings(max_examples=25)
@given(
    seed=st.integers(0, 999),
    sharpness=st.sampled_from([0.1, 1.0, 30.0]),
    grid=st.sampled_from([(1, 3), (2, 3), (4, 4)]),
)
def test_shares_sum_to_one_and_bounds_hold(seed, sharpness, grid):
    L = grid[0] * grid[1]
    score = (
        sharpness
        * torch.randn(2, 3, 1 + L, 1 + L, generator=torch.Generator().manual_seed(seed)).double()
    )
    stats = head_statistics(score.softmax(-1), grid)
    assert torch.allclose(stats.cls_to_cls + L * stats.cls_to_patch, torch.ones(2, 3).double())
    assert (stats.patch_to_self + stats.patch_to_cls <= 1 + 1e-9).all()
    assert (stats.patch_to_self_adjusted <= 1 + 1e-9).all()
    assert (stats.patch_to_self_adjusted >= stats.patch_to_self * (1 - 1e-5)).all()
    for entropy in (stats.cls_entropy, stats.patch_entropy):
        assert (entropy >= -1e-6).all()  # log(1 + 1e-6)
        assert (entropy <= math.log(L) + 1e-9).all()
    assert (stats.distance <= math.hypot(grid[0] - 1, grid[1] - 1) + 1e-9).all()


def test_a_cls_token_that_attends_to_nothing_else_gives_numbers_all_the_same():
    matrix = torch.zeros(1, 1, 5, 5)
    matrix[..., 0] = 1
    stats = head_statistics(matrix, (2, 2))
    assert all(number.isfinite().all() for number in stats)
    assert stats.cls_to_cls_adjusted.item() == pytest.approx(1e6)


def test_what_attention_adds_is_told_in_shares_of_the_stream():
    residual = torch.tensor([[[3.0, 4.0], [1.0, 0.0], [0.0, 2.0]]])
    update = torch.tensor([[[0.0, 10.0], [0.5, 0.0], [3.0, 0.0]]])
    stats = update_statistics(residual, update)
    assert stats.cls_update.tolist() == [2.0]
    assert stats.patch_update.tolist() == [1.0]
