"""Codes of a frozen tokenizer: pixels are put back, each patch has one, and no checkpoint has the
tokenizer.
"""

import pickle

import pytest
import torch
from torch.nn.functional import interpolate

from mim.geometry import Geometry
from mim.loss.error import cross_entropy
from mim.loss.term import Term
from mim.masker.split import Split
from mim.target.codes import Codes
from mim.target.dalle import DalleEncoder
from mim.target.pixel import Pixel
from tests.stored import Golden

GEOMETRY = Geometry.of(16, 4)  # a grid of 4 x 4, for which the tokenizer sees 32 x 32 pixels


@pytest.fixture(scope="module")
def tensors():
    return Golden("dalle_encoder").under("sd.")


@pytest.fixture(scope="module")
def file(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("tokenizer") / "encoder.pt"
    torch.save(tensors, path)
    return str(path)


def split(*masked):
    return Split(torch.zeros(2, 1, 1, dtype=torch.int64), torch.tensor(masked).expand(2, 1, -1))


def test_each_masked_patch_has_the_code_that_the_tokenizer_gives_its_pixels(file, tensors):
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    image = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    target = Codes(GEOMETRY, file, 64, mean, std)
    seen = interpolate(pixels, (32, 32), mode="bicubic", antialias=True).clamp(0, 1)
    expected = DalleEncoder(tensors)(seen)
    found = target(image, split(5, 0, 15))
    assert found.shape == (2, 1, 3, 1)
    assert torch.equal(found[:, 0, :, 0], expected[:, [5, 0, 15]])
    assert not target.state_dict()
    assert not list(target.parameters())


def test_no_pixel_is_darker_than_black_or_lighter_than_white(file):
    """Whatever a view's colours became: a resize would spread what is beyond to its neighbours."""
    target = Codes(GEOMETRY, file, 64, [0.0] * 3, [1.0] * 3)
    image = 3 * torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    everywhere = split(*range(16))
    assert torch.equal(target(image, everywhere), target(image.clamp(0, 1), everywhere))


def test_the_error_is_that_of_guessing_where_all_codes_have_one_score():
    code = torch.tensor([3, 0]).view(1, 1, 2, 1)
    assert torch.allclose(cross_entropy(torch.ones(1, 1, 2, 8), code), torch.tensor(8.0).log())
    sure = 50 * torch.nn.functional.one_hot(code[..., 0], 8).float()
    assert cross_entropy(sure, code).abs().max() < 1e-6


def test_numbers_of_codes_go_with_cross_entropy_alone(file):
    for target, error in ((Codes(GEOMETRY, file, 64), "l2"), (Pixel(GEOMETRY), "cross_entropy")):
        with pytest.raises(ValueError, match=r"target=codes goes with loss\.error=cross_entropy"):
            Term(target, error).fit(GEOMETRY)


def test_a_tokenizer_that_is_none_is_refused(tmp_path, tensors):
    path = tmp_path / "encoder.pt"
    with pytest.raises(
        FileNotFoundError,
        match=r"there is no tokenizer at .*encoder.pt; give the tensors of DALL-E",
    ):
        Codes(GEOMETRY, str(path), 64).begin_epoch(0)
    torch.save(tensors, path)
    with pytest.raises(
        ValueError, match=r"has 64 codes, and 8,192 are to be predicted; loss\.target\.codes=64"
    ):
        Codes(GEOMETRY, str(path)).begin_epoch(0)
    torch.save(
        {"state_dict": {name: tensors[name] for name in tensors if "input" not in name}}, path
    )
    with pytest.raises(ValueError, match=r"holds no encoder of DALL-E: blocks.input.w is missing"):
        Codes(GEOMETRY, str(path), 64).begin_epoch(0)
    path.write_bytes(pickle.dumps(Golden, protocol=2))
    with pytest.raises(ValueError, match=r"wants to run code|cannot be read"):
        Codes(GEOMETRY, str(path), 64).begin_epoch(0)


def test_images_whose_pixels_cannot_be_put_back_are_refused(file):
    with pytest.raises(
        ValueError, match=r"give data.mean=imagenet data.std=imagenet, or three numbers each"
    ):
        Codes(GEOMETRY, file, 64, "own", "own")
    with pytest.raises(ValueError, match="images of 3 channels, and these have 1"):
        Codes(Geometry.of(16, 4, 1), file, 64)
