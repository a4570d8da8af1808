import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mim.augment.jitter import Jitter, Placement, centred_in, fitted_to, unmoved
from mim.dense import IGNORE, Objects, boxes_of
from mim.draw import keys


def picture(height: int, width: int):
    """An image whose red says the row and whose green the column, and a label map of its
    columns.
    """
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([row, column, 0 * row]).byte(), (column // 8).byte()


def test_a_factor_of_one_fits_the_longer_side_and_pads_the_rest():
    placement = Jitter((1.0, 1.0), flip=0)(torch.tensor(3), (30, 60), 40)
    assert placement == Placement((20, 40), (0, 0), (40, 40), False)
    image, label_map = picture(30, 60)
    assert placement.image(image).shape == (3, 40, 40)
    assert not placement.image(image)[:, 20:].any()
    assert (placement.label_map(label_map)[20:] == IGNORE).all()


def test_a_factor_of_one_fits_the_shorter_side_for_segmentation():
    placement = Jitter((1.0, 1.0), flip=0, fit="shorter")(torch.tensor(3), (30, 60), 40)
    assert placement.resized == (40, 80)
    assert placement.offset[0] == 0
    assert 0 <= placement.offset[1] <= 40


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    flip=st.sampled_from([0.0, 1.0]),
)
def test_pixels_labels_and_masks_move_together(seed, height, width, flip):
    image, label_map = picture(height, width)
    placement = Jitter((0.5, 2.0), flip)(torch.tensor(seed), (height, width), 48)
    moved, labels = placement.image(image), placement.label_map(label_map)
    masks = placement.masks(torch.stack([label_map == 0, label_map == 1]))
    rows, columns = placement.filled
    assert (labels[rows:] == IGNORE).all()
    assert (labels[:, columns:] == IGNORE).all()
    inside = labels[:rows, :columns]
    assert torch.equal(masks[0, :rows, :columns], inside == 0)
    # Where a pixel is well within a stripe, its colour says which.
    scale = placement.resized[1] / width
    told = moved[1, :rows, :columns].float()
    exact = (told + 0.5) / 8
    away = (exact - exact.round()).abs() * 8 * scale > 2
    assert torch.equal((told[away] // 8).byte(), inside[away])


def test_a_mirrored_crop_is_the_crop_of_the_mirrored_image():
    image, _ = picture(20, 30)
    placement = Placement((20, 30), (3, 4), (10, 10), True)
    assert torch.equal(placement.image(image), image.flip(2)[:, 3:13, 4:14])


def test_the_key_decides():
    jitter, some = Jitter(), keys(0, 0, torch.arange(20))
    first = [jitter(key, (50, 70), 64) for key in some]
    assert first == [jitter(key, (50, 70), 64) for key in some]
    assert len({placement.resized for placement in first}) > 15
    assert {placement.flip for placement in first} == {True, False}
    factors = [max(placement.resized) / 64 for placement in first]
    assert min(factors) < 0.6
    assert max(factors) > 1.4


def test_clean_images_are_fitted_or_cut_in_the_centre():
    assert unmoved((7, 9)) == Placement((7, 9), (0, 0), (7, 9), False)
    assert fitted_to((480, 640), 1024, 1024).resized == (768, 1024)
    assert fitted_to((480, 640), 800, 1333).resized == (800, 1067)
    assert centred_in((40, 80), 20) == Placement((20, 40), (0, 10), (20, 20), False)


def test_boxes_are_those_of_the_masks_and_what_is_gone_is_left_out():
    mask = torch.zeros(2, 10, 12, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    objects = Objects.of_masks(mask, torch.tensor([4, 5]))
    assert objects.box.tolist() == boxes_of(mask[:1]).tolist() == [[3, 2, 9, 5]]
    assert objects.category.tolist() == [4]


def test_a_range_that_is_none_is_refused():
    with pytest.raises(ValueError, match="rising numbers"):
        Jitter((2.0, 0.5))
