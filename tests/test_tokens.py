import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.tokens import grid_of, patchify, take, take_patches, unpatchify

# rows, columns, patch size
sizes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))


def test_a_patch_is_flattened_as_row_column_channel():
    # channel 0 holds 0 to 15, channel 1 holds 16 to 31
    image = torch.arange(2 * 4 * 4.0).view(1, 2, 4, 4)
    patches = patchify(image, 2)
    assert patches.shape == (1, 4, 8)
    assert patches[0, 0].tolist() == [0, 16, 1, 17, 4, 20, 5, 21]
    assert patches[0, 1].tolist() == [2, 18, 3, 19, 6, 22, 7, 23]


@given(sizes)
@settings(max_examples=25)
def test_unpatchify_undoes_patchify_on_any_grid(size):
    rows, columns, patch_size = size
    image = torch.rand(2, 3, rows * patch_size, columns * patch_size)
    patches = patchify(image, patch_size)
    assert patches.shape == (2, rows * columns, 3 * patch_size**2)
    assert torch.equal(unpatchify(patches, patch_size, (rows, columns)), image)


def test_take_picks_each_image_by_its_own_indices():
    tokens = torch.arange(12.0).view(2, 3, 2)
    picked = take(tokens, torch.tensor([[[2, 0]], [[1, 1]]]))
    assert picked.tolist() == [[[[4, 5], [0, 1]]], [[[8, 9], [8, 9]]]]


@given(sizes, st.integers(1, 3), st.integers(1, 6), st.integers(0, 99))
@settings(max_examples=25)
def test_taking_patches_equals_taking_from_all_patches(size, K, M, seed):
    rows, columns, patch_size = size
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, rows * patch_size, columns * patch_size, generator=generator)
    index = torch.randint(rows * columns, (2, K, M), generator=generator)
    expected = take(patchify(image, patch_size), index)
    assert expected.shape == (2, K, M, 3 * patch_size**2)
    assert torch.equal(take_patches(image, index, patch_size), expected)


def test_gradients_reach_only_the_tokens_that_were_taken():
    tokens = torch.zeros(1, 4, 2, requires_grad=True)
    take(tokens, torch.tensor([[[3, 1, 3]]])).sum().backward()
    assert tokens.grad[0, :, 0].tolist() == [0, 1, 0, 2]


def test_images_that_are_not_contiguous_are_cut_all_the_same():
    image = torch.rand(2, 8, 12, 3).permute(0, 3, 1, 2)
    assert torch.equal(patchify(image, 4), patchify(image.contiguous(), 4))
    assert torch.equal(patchify(image[..., 4:], 4), patchify(image[..., 4:].contiguous(), 4))


def test_a_grid_has_rows_first():
    assert grid_of((32, 48), 16) == (2, 3)


def test_a_patch_size_that_does_not_divide_is_refused_with_those_that_do():
    with pytest.raises(
        ValueError, match=r"32 x 48 is not divisible by patch_size=5; .* 2, 4, 8, 16"
    ):
        grid_of((32, 48), 5)
    with pytest.raises(ValueError, match="divide it: none"):
        grid_of((7, 9), 4)
