"""BEiT v2's tokenizer against microsoft/unilm @ 768a3c8, on max |a - b| / max |b|."""

import argparse

import pytest
import torch

from mim.geometry import Geometry
from mim.masker.split import Split
from mim.target.codes import Codes
from mim.target.vqkd import CODEBOOK, VqkdEncoder
from tests.stored import Golden

SPLIT = Split(torch.zeros(3, 1, 1, dtype=torch.int64), torch.tensor([5, 0, 15]).expand(3, 1, -1))


@pytest.fixture(scope="module")
def reference():
    return Golden("vqkd")


@pytest.fixture(scope="module")
def tensors(reference):
    return reference.under("sd.")


@pytest.mark.parametrize("variant", ["", "large."])
def test_vectors_and_codes_are_official(reference, tensors, distance, variant):
    """Of the grid that it was made for, and of a larger one, to which its positions are resized."""
    pixels, m = reference[f"{variant}pixels"], reference.meta
    side = pixels.shape[-1] // m["patch_size"]
    tokenizer = VqkdEncoder(tensors, (side, side), m["num_heads"])
    assert (tokenizer.codes, tokenizer.side) == (m["n_embed"], m["patch_size"])
    assert reference[f"{variant}gap"] > 5e-5  # each code is decided far above rounding
    assert distance(tokenizer.encoder(2 * pixels - 1)[:, 1:], reference[f"{variant}tokens"]) < 2e-5
    assert distance(tokenizer.vectors(pixels), reference[f"{variant}vectors"]) < 2e-5
    assert torch.equal(tokenizer(pixels), reference[f"{variant}codes"])


def test_a_code_is_nearest_in_direction_whatever_the_length(tensors):
    tokenizer = VqkdEncoder(tensors, (4, 4), 3)
    pixels = torch.rand(2, 3, 32, 32)
    cosine = tokenizer.vectors(pixels) @ torch.nn.functional.normalize(tensors[CODEBOOK], dim=-1).T
    assert torch.equal(tokenizer(pixels), cosine.argmax(-1))
    assert torch.allclose(tokenizer.vectors(pixels).norm(dim=-1), torch.ones(2, 16))


@pytest.mark.parametrize(
    "wrapped",
    [dict, lambda t: {"model": t, "args": argparse.Namespace(lr=1)}, lambda t: {"state_dict": t}],
)
def test_its_file_is_a_target_that_no_checkpoint_has(reference, tensors, tmp_path, wrapped):
    """Patches of its size are seen as they are; a file may leave out what trains the tokenizer."""
    file = tmp_path / "vqkd.pth"
    torch.save(
        wrapped({name: value for name, value in tensors.items() if not name.startswith("decode")}),
        file,
    )
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
    target = Codes(Geometry.of(32, 8), str(file), 64, mean, std, heads=3)
    pixels = reference["pixels"]
    image = (pixels - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.equal(target(image, SPLIT)[:, 0, :, 0], reference["codes"][:, [5, 0, 15]])
    assert not target.state_dict()
    assert not list(target.parameters())


def test_a_view_of_smaller_patches_is_made_larger(reference, tensors, tmp_path):
    file = tmp_path / "vqkd.pt"
    torch.save(tensors, file)
    target = Codes(Geometry.of(16, 4), str(file), 64, heads=3)
    assert target(torch.randn(3, 3, 16, 16), SPLIT).shape == (3, 1, 3, 1)


def test_what_is_no_such_tokenizer_is_refused(tensors):
    less = {name: value for name, value in tensors.items() if name != "encode_task_layer.2.weight"}
    with pytest.raises(
        ValueError, match=r"no tokenizer of BEiT v2: encode_task_layer\.2\.weight is missing"
    ):
        VqkdEncoder(less, (4, 4), 3)
    less = {name: value for name, value in tensors.items() if "blocks.1.norm1" not in name}
    with pytest.raises(ValueError, match=r"no tokenizer of BEiT v2: .*blocks\.1\.norm1\.weight"):
        VqkdEncoder(less, (4, 4), 3)
    with pytest.raises(ValueError, match="the heads must divide the width"):
        VqkdEncoder(tensors, (4, 4), 5)
