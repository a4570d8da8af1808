"""MaskFeat against facebookresearch/SlowFast @ 287ec00: its histograms and the number of patches
that it masks.
"""

import pytest
import torch
from hydra.utils import instantiate

from mim.batch import blank
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.split import Split
from mim.target.hog import HOG


@pytest.fixture
def case(golden):
    """Of the layer's settings those that the release's configs have: no Gaussian window."""
    reference = golden("hog_maskfeat")
    m = reference.meta
    number = next(c["index"] for c in m["configs"] if not c["gaussian_window"])
    config, patch = m["configs"][number], m["patch_size"]
    hog = HOG(
        Geometry.of(m["img_size"], patch),
        patch // config["pool"],
        config["nbins"],
        gradient="sobel",
    )
    hidden = reference["mask"].flatten(1).bool()
    order = hidden.byte().argsort(dim=1, descending=True, stable=True)[:, None]
    count = int(hidden[0].sum())
    return reference, f"c{number}.", hog, Split(order[..., count:], order[..., :count])


def in_their_order(values, hog):
    """(..., cell row, cell column, channel, bin) -> (..., channel, bin, cell row, cell column)."""
    cells = values.unflatten(-1, (hog.cells, hog.cells, -1, hog.bins))
    return cells.movedim((-4, -3), (-2, -1)).flatten(-4)


def test_histograms_are_official(case, distance):
    reference, prefix, hog, _ = case
    found = hog.histograms(reference["images"]).unflatten(1, (-1, hog.bins))
    assert distance(found, reference[f"{prefix}hog"]) < 2e-5


def test_targets_and_the_loss_are_official(case, distance):
    reference, prefix, hog, split = case
    target = hog(reference["images"], split)
    assert distance(in_their_order(target, hog).flatten(0, 2), reference[f"{prefix}label"]) < 2e-5
    everywhere = torch.arange(split.masked.shape[-1] + split.visible.shape[-1]).expand(
        len(target), 1, -1
    )
    whole = hog(reference["images"], Split(everywhere[..., :0], everywhere))
    assert distance(in_their_order(whole, hog)[:, 0], reference[f"{prefix}target"]) < 2e-5

    prediction = reference[f"{prefix}pred"].view(*target.shape[:3], -1).requires_grad_()
    term = Term(_Theirs(hog))
    loss = term(prediction, reference["images"], split)
    assert loss.item() == pytest.approx(reference[f"{prefix}loss"].item(), rel=1e-5)
    loss.backward()
    assert distance(prediction.grad.flatten(0, 2), reference[f"{prefix}grad_pred"]) < 1e-4


class _Theirs(torch.nn.Module):
    """The same target with its values in their order."""

    def __init__(self, hog):
        super().__init__()
        self.hog, self.dim = hog, hog.dim

    def forward(self, image, split):
        return in_their_order(self.hog(image, split), self.hog)


def test_as_many_patches_are_masked_as_theirs(golden):
    """round(patches * ratio), which rounds halves to even; down, as masker.partition.rounding says,
    wherever it is below a half.
    """
    for patches, ratio, masked, smallest in golden("maskfeat_masks")["counts"].tolist():
        if patches * ratio % 1 < 0.5 and masked:
            assert FixedRatio(ratio, "mask_down").masked_count(int(patches)) == masked
            assert smallest == masked // 5


def test_the_experiment_masks_78_of_196(composed_command):
    masker: Masker = instantiate(
        composed_command("train.py experiment=maskfeat/imagenet_vit_base").masker
    )
    split = masker(blank(4, (224, 224)), (14, 14))
    assert split.masked.shape[-1] == 78
    assert (masker.score.min_patches, masker.score.max_patches) == (15, None)
