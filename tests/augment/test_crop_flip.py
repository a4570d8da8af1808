import pytest
import torch

from mim.augment.boxes import ClampedBoxes, TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment

SIZE = torch.tensor([[40, 60]]).expand(1000, 2)


def test_the_same_keys_give_the_same_crops_and_flips():
    keys = torch.arange(1000)
    augment = CropFlip(TorchvisionBoxes())
    box, flip, _ = augment(keys, SIZE)
    again, flip_again, _ = augment(keys.flip(0), SIZE)  # wherever in a batch the key stands
    assert torch.equal(box, again.flip(0))
    assert torch.equal(flip, flip_again.flip(0))
    assert len(box.unique(dim=0)) > 900


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flips_are_as_frequent_as_asked(probability):
    _, flip, _ = CropFlip(ClampedBoxes(), flip=probability)(torch.arange(1000), SIZE)
    assert flip.float().mean().item() == pytest.approx(probability, abs=0.05)


def test_flips_say_nothing_about_crops():
    box, flip, _ = CropFlip(ClampedBoxes())(torch.arange(1000), SIZE)
    left, right = box[flip].double().mean(0), box[~flip].double().mean(0)
    assert (left - right).abs().max() < 3  # of 60 pixels


def test_no_probability_is_refused():
    with pytest.raises(ValueError, match="at least 0 and at most 1"):
        CropFlip(ClampedBoxes(), flip=50)


def test_whole_is_whole():
    box, flip, _ = NoAugment()(torch.arange(2), torch.tensor([[40, 60], [7, 5]]))
    assert box.tolist() == [[0, 0, 60, 40], [0, 0, 5, 7]]
    assert not flip.any()
