"""Detections on a picture: boxes and masks are where they should be, and labels can be read."""

import pytest
import torch

from mim.analysis.drawn_detections import OPACITY, colour_of, draw_detections

NAMES = ["zero", "one"]


def drawn(side: int, *boxes: tuple[float, float, float, float]) -> torch.Tensor:
    """A black picture with boxes of category 1 that are filled by their masks."""
    mask = torch.zeros(len(boxes), side, side, dtype=torch.bool)
    for one, (x1, y1, x2, y2) in zip(mask, boxes, strict=True):
        one[int(y1) : int(y2), int(x1) : int(x2)] = True
    score = torch.linspace(0.9, 0.6, len(boxes))
    category = torch.ones(len(boxes), dtype=torch.int64)
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    return draw_detections(image, torch.tensor(boxes).view(-1, 4), score, category, mask, NAMES)


def test_a_large_picture_keeps_its_size_and_shows_mask_box_and_label():
    picture, colour = drawn(300, (100, 100, 200, 200)), torch.tensor(colour_of(1))
    assert picture.shape == (3, 300, 300)
    assert picture[:, 150, 150].tolist() == (OPACITY * colour).round().tolist()
    assert picture[:, 150, 100].tolist() == picture[:, 200, 150].tolist() == colour.tolist()
    label = picture[:, 90:98, 100:150].flatten(1)  # over the box: its colour, and letters on it
    assert (label == colour[:, None]).all(0).float().mean() > 0.3
    assert len(label.unique(dim=1).T) > 2
    assert not picture[:, 220:].any()


def test_a_small_picture_is_enlarged_by_a_whole_number():
    picture = drawn(64, (32, 40, 48, 60))
    assert picture.shape == (3, 256, 256)
    assert picture[:, 4 * 50, 4 * 32].tolist() == list(colour_of(1))


@pytest.mark.parametrize("box", [(0, 0, 300, 300), (-2, -3, 40, 40), (280, 0, 300, 5)])
def test_labels_at_the_border_are_whole(box):
    """A label is 17 pixels high and 40 wide, or so; none of it is cut off."""
    inside, corner = drawn(300, (100, 100, 200, 200)), drawn(300, box)
    letters = [picture.amin(dim=0) > 200 for picture in (inside, corner)]
    assert letters[0].sum() > 20
    assert letters[1].sum() == letters[0].sum()


def test_the_highest_score_is_on_top_and_nothing_found_draws_nothing():
    both = drawn(300, (100, 100, 200, 200), (100, 100, 200, 200))
    assert torch.equal(both[:, 80:98, 110:150], drawn(300, (100, 100, 200, 200))[:, 80:98, 110:150])
    assert not drawn(300).any()


def test_neighbouring_categories_have_colours_that_differ():
    colours = torch.tensor([colour_of(number) for number in range(80)]).float()
    assert len(colours.unique(dim=0)) == 80
    assert ((colours[1:] - colours[:-1]).abs().amax(dim=1) > 60).all()
