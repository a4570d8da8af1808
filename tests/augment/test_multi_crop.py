"""Several views of one image: where they lie, what they show, and that nothing but the key decides
it.
"""

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.multi_crop import MultiCrop
from mim.augment.pictures import Cropped
from mim.augment.shifted_pair import ShiftedPair
from mim.data.in_memory import Stored, in_memory_splits
from mim.data.sampler import Rows
from mim.draw import keys

PLAIN = {"jittered": 0.0, "grey": 0.0, "blur": (0.0, 0.0, 0.0), "solarize": (0.0, 0.0, 0.0)}
KEY = keys(3, 1, torch.arange(16))
SIZE = torch.tensor([[375, 500]]).expand(2000, 2)
MANY = keys(0, 0, torch.arange(2000))


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 256, (3, 40 + i, 60 - i), dtype=torch.uint8, generator=generator)
        for i in range(16)
    ]


def area(box):
    return ((box[:, 2:] - box[:, :2]).prod(1) / SIZE.prod(1)).double()


def test_global_and_local_crops_have_their_size_and_their_share_of_the_image():
    augment = MultiCrop(2, 10, (0.25, 1.0), (0.05, 0.25), local_size=96)
    assert [view.size for view in augment.views] == [None] * 2 + [96] * 10
    for number, recipe in enumerate(augment.views):
        box, flip, corner = recipe(MANY, SIZE)
        assert corner is None
        assert (box >= 0).all()
        assert (box[:, 2:] <= SIZE.flip(1)).all()
        low, high = (0.25, 1.0) if number < 2 else (0.05, 0.25)
        share = area(box)
        assert low - 0.01 < share.min() < low + 0.02  # rounded to whole pixels
        assert high - 0.08 < share.max() < high + 0.01
        assert flip.double().mean().item() == pytest.approx(0.5, abs=0.05)


def test_every_crop_is_drawn_by_itself_and_the_first_is_that_of_one_view():
    cuts = [
        recipe(MANY, SIZE)
        for recipe in MultiCrop(3, 2, global_scale=(0.2, 1.0), local_scale=(0.2, 1.0)).views
    ]
    alone = CropFlip(TorchvisionBoxes((0.2, 1.0)))(MANY, SIZE)
    assert cuts[0].box.equal(alone.box)
    assert cuts[0].flip.equal(alone.flip)
    for i, one in enumerate(cuts):
        for other in cuts[i + 1 :]:
            assert (one.box == other.box).all(1).double().mean() < 0.01
            assert (one.flip == other.flip).double().mean().item() == pytest.approx(0.5, abs=0.06)
            together = torch.corrcoef(torch.stack([area(one.box), area(other.box)]))
            assert together[0, 1].abs() < 0.1


def test_a_view_shows_what_its_box_says(pictures):
    """From files, by hand: the box of the stored image, resized."""
    views = Cropped(MultiCrop(2, 3, local_size=8, **PLAIN), 16)(pictures, KEY)
    assert [tuple(view.image.shape[1:]) for view in views] == [(3, 16, 16)] * 2 + [(3, 8, 8)] * 3
    for view in views:
        for image, box, picture in zip(view.image, view.box, pictures, strict=True):
            height, width = picture.shape[1:]
            x1, y1, x2, y2 = (
                (box * torch.tensor([width, height, width, height])).round().long().tolist()
            )
            crop = picture[:, y1:y2, x1:x2]
            assert image.equal(
                F.resize(crop, list(image.shape[1:]), InterpolationMode.BICUBIC, antialias=True)
            )


def test_views_of_stored_pictures_are_those_of_files():
    stored = Stored(torch.randint(64, 192, (16, 3, 30, 40), dtype=torch.uint8), torch.arange(16))
    augment = MultiCrop(2, 3, local_size=8, **PLAIN)
    train = in_memory_splits(stored, stored, augment, 16, []).train
    assert train.wants_workers
    batch = train[Rows(torch.arange(16), KEY)]
    for ours, theirs in zip(
        batch.views, Cropped(augment, 16)(list(stored.image), KEY), strict=True
    ):
        assert ours.box.equal(theirs.box)
        assert ours.flip.equal(theirs.flip)
        # of 255; files are rounded after each direction
        assert (ours.image - theirs.image).abs().max() <= 1.5
        mirrored = torch.where(ours.flip[:, None, None, None], ours.image.flip(-1), ours.image)
        assert train.finish(ours).equal(mirrored.float())
    assert {flip for view in batch.views for flip in view.flip.tolist()} == {True, False}


def test_colours_of_first_other_and_local_crops_differ_as_asked(pictures):
    plain = Cropped(MultiCrop(2, 1, local_size=8, **PLAIN), 16)(pictures, KEY)
    for number in range(3):
        shares = [float(i == number) for i in range(3)]
        solarized = MultiCrop(2, 1, local_size=8, **{**PLAIN, "solarize": shares})
        for i, (one, other) in enumerate(
            zip(plain, Cropped(solarized, 16)(pictures, KEY), strict=True)
        ):
            assert one.box.equal(other.box)
            assert one.image.equal(other.image) is (i != number)
            inverted = torch.where(one.image >= 128, 255 - one.image, one.image)
            assert other.image.equal(inverted if i == number else one.image)


def test_the_second_view_of_a_pair_is_shifted_within_one_crop(pictures):
    augment = ShiftedPair(
        TorchvisionBoxes((0.2, 1.0)), margin=8, shift=7, **{**PLAIN, "blur": 0.0, "solarize": 0.0}
    )
    online, target = Cropped(augment, 16)(pictures, KEY)
    plain = Cropped(CropFlip(TorchvisionBoxes((0.2, 1.0))), 24)(pictures, KEY)[0]
    assert online.flip.equal(target.flip)
    assert online.flip.equal(plain.flip)
    shifts = []
    for i in range(16):
        whole = plain.image[i].flip(-1) if plain.flip[i] else plain.image[i]
        seen, other = (
            view.image[i].flip(-1) if view.flip[i] else view.image[i] for view in (online, target)
        )
        assert seen.equal(whole[:, :16, :16])  # the top left corner of what is mirrored
        found = [
            (y, x)
            for y in range(8)
            for x in range(8)
            if other.equal(whole[:, y : y + 16, x : x + 16])
        ]
        assert len(found) == 1
        shifts += found
        size = plain.box[i, 2:] - plain.box[i, :2]
        for view, (y, x) in ((online, (0, 0)), (target, found[0])):
            x = 8 - x if plain.flip[i] else x
            start = plain.box[i, :2] + size * torch.tensor([x, y]) / 24
            assert torch.allclose(
                view.box[i], torch.cat([start, start + size * 16 / 24]), atol=1e-6
            )
    assert len(set(shifts)) > 10


def test_shifts_are_even_up_to_the_largest():
    _, target = ShiftedPair(TorchvisionBoxes(), margin=3, shift=2).views
    _, flip, corner = target(MANY, SIZE)
    assert {tuple(each) for each in corner[~flip].tolist()} == {
        (y, x) for y in range(3) for x in range(3)
    }
    assert {tuple(each) for each in corner[flip].tolist()} == {
        (y, x) for y in range(3) for x in range(1, 4)
    }
    assert corner[~flip].double().mean(0).tolist() == pytest.approx([1, 1], abs=0.1)
    assert abs(torch.corrcoef(corner[~flip].double().T)[0, 1]) < 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"global_crops": 0}, "global_crops=0 does not fit; it should be at least 1"),
        ({"local_crops": -1}, "local_crops=-1"),
        ({"local_scale": (0.3, 0.1)}, r"scale=\[0.3, 0.1\]"),
        ({"flip": 2.0}, "flip=2.0"),
        (
            {"blur": (1.0, 0.5)},
            r"blur=\[1.0, 0.5\]; needs three shares, of first, other and local crops",
        ),
        ({"solarize": (0.0, 0.0, 7.0)}, r"solarize=\[0.0, 0.0, 7.0\]"),
        ({"grey": -0.1}, "grey=-0.1"),
        (
            {"local_crops": 0, "local_size": 64},
            r"local_size=64 would do nothing: there are no local crops; .* or leave it at 96",
        ),
        (
            {"local_crops": 0, "local_scale": [0.05, 0.4]},
            r"local_scale=\[0.05, 0.4\] would do nothing.* leave it at \[0.05, 0.25\]",
        ),
    ],
)
def test_crops_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MultiCrop(**settings)


def test_a_shift_out_of_the_crop_is_refused():
    with pytest.raises(
        ValueError, match=r"shift=33 leaves the crop, which has margin=32 pixels to spare"
    ):
        ShiftedPair(TorchvisionBoxes(), margin=32, shift=33)


def test_what_is_announced_says_how_many_and_of_what_size():
    said = str(MultiCrop(2, 10))
    assert said.startswith("1 of torchvision's crops of 25% to 100% of the area")
    assert "10 of 96 x 96: torchvision's crops of 5% to 25%" in said
    assert str(MultiCrop(1, 0)).count("of torchvision's") == 1
    assert "the second shifted by up to 31 pixels" in str(ShiftedPair(TorchvisionBoxes()))
