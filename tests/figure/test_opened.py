from pathlib import Path

import torch
from sklearn.datasets import load_digits

from mim.data.statistics import IMAGENET_MEAN, IMAGENET_STD
from mim.figure.opened import Choice, open_checkpoints, open_images

CONFIGS = Path(__file__).parents[2] / "configs"


def test_images_are_normalised_as_in_the_training_and_by_imagenet_where_nothing_says(
    checkpoint_folder, tmp_path
):
    folder = checkpoint_folder("a")
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    bare = {"state_dict": content["state_dict"]}
    torch.save(bare, tmp_path / "bare.ckpt")
    own, none = open_checkpoints([str(folder), str(tmp_path / "bare.ckpt")], None)
    assert [tuple(round(value, 3) for value in values) for values in (own.mean, own.std)] == [
        (0.305,) * 3,
        (0.376,) * 3,
    ]
    assert (none.mean, none.std) == (IMAGENET_MEAN, IMAGENET_STD)


def test_held_out_images_come_back_in_their_own_colours(checkpoint_folder):
    (own,) = open_checkpoints([str(checkpoint_folder("a"))], None)
    image, names = open_images(own.weights, Choice(2), CONFIGS)
    assert (names, image.shape) == (["150", "299"], (2, 3, 32, 32))
    assert image.min() == 0
    assert abs(image.mean() - load_digits().images.mean() / 16) < 0.1
