"""Oblong grids of weights without a config: shown by sines and cosines, or said by the user."""

import pytest
import torch

from mim.door.load import load
from mim.encoder.vit import ViT
from mim.weights.convert import write
from mim.weights.read import read_weights


def bare(tmp_path, size, positions):
    """File of an encoder's tensors alone, and the encoder."""
    torch.manual_seed(0)
    encoder = ViT(size, 8, 32, 1, 4, positions=positions).eval()
    file = tmp_path / "bare.pth"
    torch.save(encoder.state_dict(), file)
    return file, encoder


@pytest.mark.parametrize("size", [(64, 16), (16, 64), (64, 32), (32, 32)])
@pytest.mark.parametrize("positions", ["sincos", "sincos_rows_first"])
def test_sines_and_cosines_show_their_grid(tmp_path, size, positions):
    file, encoder = bare(tmp_path, size, positions)
    found = load(file, heads=4)
    assert found.geometry == encoder.geometry
    assert "taken for a square" not in found.describe()
    image = torch.rand(1, 3, *size)
    assert torch.equal(found(image), encoder(image))
    larger = load(file, (2 * size[0], 2 * size[1]), heads=4)
    rows, columns = encoder.geometry.grid
    said = f"positions resized from {rows} x {columns} to {2 * rows} x {2 * columns}"
    assert larger.describe().endswith(said)


def test_a_grid_that_nothing_shows_is_said_to_be_taken_for_a_square(tmp_path):
    file, _ = bare(tmp_path, (64, 16), "learned")
    assert "4 x 4 patches of 8; taken for a square" in load(file, heads=4).describe()
    said = load(file, (128, 32), heads=4).describe()
    assert "from 4 x 4 to 16 x 4 (taken for a square; if they are oblong" in said
    assert "taken for a square" not in load(file, (64, 16), heads=4).describe()


def test_no_square_needs_its_image_size(tmp_path):
    file, encoder = bare(tmp_path, (64, 32), "learned")
    with pytest.raises(ValueError, match=r"for which image size .* image_size= of mim\.load"):
        load(file, heads=4)
    image = torch.rand(1, 3, 64, 32)
    assert torch.equal(load(file, (64, 32), heads=4)(image), encoder(image))
    with pytest.raises(ValueError, match=r"32 patches, which is no square.*--image-size"):
        load(file, (128, 64), heads=4)


@pytest.mark.parametrize("to", ["safetensors", "timm"])
def test_an_image_size_that_is_said_once_stays_in_the_file(tmp_path, to):
    file, encoder = bare(tmp_path, (64, 16), "learned")
    out = tmp_path / "said.safetensors"
    write(read_weights(file), out, to, heads=4, image_size=(64, 16))
    found = load(out)
    assert found.geometry == encoder.geometry
    assert load(out, (128, 32)).describe().endswith("positions resized from 8 x 2 to 16 x 4")
    with pytest.raises(ValueError, match="is of 8 x 2 patches, and an image of 32 x 32 has 4 x 4"):
        write(read_weights(out), tmp_path / "other.safetensors", to, image_size=32)


def test_an_image_size_of_other_patches_is_refused(tmp_path):
    file, _ = bare(tmp_path, (64, 16), "learned")
    with pytest.raises(ValueError, match="has 17 positions, and an image of 64 x 32 has 8 x 4"):
        write(read_weights(file), tmp_path / "a.safetensors", "timm", heads=4, image_size=(64, 32))
