import pytest
import torch

from mim.analysis.gallery import MASKED, THROWN, caption, covered, gallery
from mim.masker.split import Split

THROWING = Split(visible=torch.tensor([[[0]], [[3]]]), masked=torch.tensor([[[1]], [[0]]]))
PADDED = Split(
    visible=torch.tensor([[[0, 1, 2]], [[0, 1, 2]]]),
    masked=torch.tensor([[[3, 2]], [[3, 2]]]),
    visible_valid=torch.tensor([[[True, True, True]], [[True, True, False]]]),
    masked_valid=torch.tensor([[[True, False]], [[True, True]]]),
)


def test_visible_masked_and_thrown_patches_look_different():
    image = torch.full((2, 3, 4, 4), 0.9)
    shown = covered(image, THROWING, patch_size=2)
    assert torch.equal(shown[0, :, :2, :2], image[0, :, :2, :2])
    assert shown[0, :, 0, 2].tolist() == pytest.approx(MASKED)
    thrown = 0.25 * 0.9 + 0.75 * torch.tensor(THROWN)
    assert torch.allclose(shown[0, :, 2:, :], thrown[:, None, None].expand(3, 2, 4))


def test_the_ratios_of_an_image_are_its_own():
    assert caption(THROWING, 0, 4) == "25% + 50%"
    assert caption(PADDED, 1, 4) == "50%"


def test_the_figure_has_a_row_for_each_image_and_a_column_for_each_masker():
    sheet = gallery(
        image=torch.rand(2, 3, 4, 4),
        heat={"salience": torch.rand(2, 4)},
        splits={"amt": THROWING, "sbam": PADDED},
        patch_size=2,
    )
    assert len(sheet.axes) == 2 * 4
    assert [axis.get_title() for axis in sheet.axes[:4]] == ["image", "salience", "amt", "sbam"]
    assert [axis.get_xlabel() for axis in sheet.axes] == [
        *["", "", "25% + 50%", "25%"],
        *["", "", "25% + 50%", "50%"],
    ]
    assert len(sheet.legends[0].get_texts()) == 2
    without = gallery(torch.rand(2, 3, 4, 4), {}, {"sbam": PADDED}, patch_size=2)
    assert len(without.legends[0].get_texts()) == 1
