"""Principal components of patch tokens as colours."""

import numpy as np
import pytest
import torch

from mim.encoder.vit import ViT
from mim.figure.pca import HEADER, Components, colours, patch_components, pca_figure, principal

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 3, "heads": 2}


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_components_are_those_of_a_singular_value_decomposition_with_one_sign():
    tokens = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [9.0, 5, 3, 1, 0.5, 0.1]
    )
    value, explained = principal(tokens)
    centred = (tokens - tokens.mean(0)).double().numpy()
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(value), np.abs(centred @ axes[:3].T), atol=1e-4)
    assert explained == pytest.approx((size[:3] ** 2).sum() / (size**2).sum(), rel=1e-6)
    assert torch.allclose(principal(tokens.flip(0))[0].flip(0), value, atol=1e-4)
    assert (
        value[tokens[:, 0] - tokens[:, 0].mean() > 5][:, 0] > 0
    ).all()  # the first axis is the first number, upwards


def test_tokens_are_those_of_the_block_and_all_images_share_components(images):
    encoder = ViT(**SIZES).eval()
    made = patch_components(encoder, images, "A")
    with torch.no_grad():
        expected, explained = principal(encoder(images)[:, 1:].flatten(0, 1))
    assert (made.name, made.block, made.explained) == ("A", 3, pytest.approx(explained))
    assert torch.allclose(made.value, expected.view(2, 4, 4, 3), atol=1e-5)
    assert not torch.allclose(
        patch_components(encoder, images, "A", block=1).value, made.value, atol=1e-2
    )


def test_colours_fill_the_range_and_the_table_has_every_patch(images):
    value = torch.randn(2, 4, 4, 3, generator=torch.Generator().manual_seed(1))
    painted = colours(value)
    assert (painted.amin((0, 1, 2)).tolist(), painted.amax((0, 1, 2)).tolist()) == (
        [0] * 3,
        [1] * 3,
    )
    assert torch.equal(
        painted[..., 1].flatten().argsort()[5:-5], value[..., 1].flatten().argsort()[5:-5]
    )
    drawn = pca_figure(
        images,
        ["7", "9"],
        [Components("A", 3, value, 0.5), Components("B", 2, value[:, :2, :2], 0.25)],
    )
    assert [axis.get_title() for axis in drawn.figure.axes[:3]] == ["image", "A\n50%", "B\n25%"]
    assert len(drawn.rows) == 2 * 16 + 2 * 4
    last = dict(zip(HEADER, drawn.rows[-1], strict=True))
    assert (last["image"], last["checkpoint"], last["row"], last["column"]) == ("9", "B", 1, 1)
    assert last["second"] == pytest.approx(value[1, 1, 1, 1].item())
    assert "A (block 3, 50% of the variance), B (block 2, 25% of the variance)" in drawn.what


def test_what_has_no_three_components_is_refused(images):
    with pytest.raises(ValueError, match="3 patches of 8 numbers have no three components"):
        principal(torch.rand(3, 8))
    with pytest.raises(ValueError, match="--block=4: A has blocks 1 to 3"):
        patch_components(ViT(**SIZES).eval(), images, "A", block=4)
