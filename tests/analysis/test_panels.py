"""Pictures of reconstructions: every patch is where it belongs."""

import torch

from mim.analysis.pictures import MASKED_GREY, THROWN_TINT, figure, panels
from mim.masker.split import Split
from mim.tokens import patchify, take_patches


def split_of(visible, masked, **valid) -> Split:
    return Split(torch.tensor([[visible]]), torch.tensor([[masked]]), **valid)


def test_visible_masked_and_thrown_patches_are_told_apart():
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    predicted = torch.full((1, 2, 12), 0.25)
    rows = panels(image, predicted, split_of([3], [0, 2]), patch_size=2)
    patches = {name: patchify(row, 2)[0] for name, row in rows.items()}
    truth = patchify(image, 2)[0]
    thrown = torch.tensor(THROWN_TINT).repeat(4)

    assert rows["image"].equal(image)
    assert patches["masked"][3].equal(truth[3])
    assert patches["masked"][0].unique().tolist() == [MASKED_GREY]
    assert patches["masked"][1].equal(thrown)
    assert patches["prediction"][0].unique().tolist() == [0.25]
    assert patches["prediction"][3].unique().tolist() == [MASKED_GREY]
    assert patches["with visible"][3].equal(truth[3])
    assert patches["with visible"][2].unique().tolist() == [0.25]
    assert patches["with visible"][1].equal(thrown)


def test_a_perfect_prediction_gives_the_image_back():
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    split = split_of([1, 3], [2, 0])
    rows = panels(image, take_patches(image, split.masked, 2)[:, 0], split, patch_size=2)
    assert rows["with visible"].equal(image)


def test_padding_is_not_drawn():
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[[True, False]]])
    split = split_of([1, 0], [2, 3], visible_valid=valid, masked_valid=valid)
    masked = patchify(panels(image, torch.zeros(1, 2, 12), split, patch_size=2)["masked"], 2)[0]
    assert masked[0].equal(torch.tensor(THROWN_TINT).repeat(4))
    assert masked[3].equal(torch.tensor(THROWN_TINT).repeat(4))


def test_a_sheet_has_a_row_a_kind_and_a_column_an_image():
    rows = {"one": torch.rand(3, 3, 8, 8), "two": torch.rand(3, 3, 8, 8)}
    sheet = figure(rows, "epoch 1")
    assert len(sheet.axes) == 6
    assert sheet.axes[0].get_ylabel() == "one"
