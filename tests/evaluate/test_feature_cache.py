"""Features of images: in which order they come, what is left of their extraction, and from where
they are read again.
"""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.batch import blank
from mim.data.image_folder import ImageFolder
from mim.data.label_maps import LabelMaps
from mim.encoder.vit import ViT
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.feature_cache import cached_features
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import extract
from mim.geometry import Geometry
from mim.pool.simple import Cls, Mean


class Encoder(nn.Module):
    """Four numbers for each of two tokens, all the mean of the image; counts the images that it is
    shown.
    """

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.shown, self.width, self.depth, self.prefix = 0, 4, 1, 1
        self.geometry = Geometry.of(4, 4)

    def forward(self, image):
        assert not self.training
        self.shown += len(image)
        return (image.mean((1, 2, 3))[:, None, None] * self.scale).expand(-1, 2, 4)


def batches():
    batch = blank(6, (4, 4))
    image = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 3, 4, 4)
    batch = batch.with_image(image)._replace(label=torch.arange(6))
    return batch.split(3)


class Loader(list):
    sampler = batches()
    dataset = None


def subject(encoder, key="key"):
    data = SimpleNamespace(
        bank_dataloader=lambda limit: Loader(batches()),
        val_dataloader=lambda limit: Loader(batches()),
    )
    return EvaluatedCheckpoint("a", encoder, data, lambda batch: batch, nullcontext, Path(), key)


def test_features_come_in_the_order_of_the_images_and_the_encoder_keeps_its_mode():
    encoder = Encoder().train()
    features = extract(
        subject(encoder), FeatureExtractor(encoder, {"cls": Cls()}), reversed(batches())
    )["cls"]
    assert encoder.training
    assert features.feature[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert features.label.tolist() == [0, 1, 2, 3, 4, 5]


def test_what_is_stored_is_what_is_extracted_and_images_are_seen_once(tmp_path):
    encoder = Encoder()
    known = extract(subject(encoder), FeatureExtractor(encoder, {"cls": Cls()}), batches())["cls"]
    encoder.shown = 0
    for mode in (True, False):  # of the pool, which may have looked at another encoder before
        pool = Cls().train(mode)
        kept = cached_features(
            tmp_path,
            subject(encoder),
            FeatureExtractor(encoder, {"cls": pool}),
            "bank",
            None,
            torch.float16,
        )
        assert kept["cls"].equal(known.feature)
        assert kept["label"].equal(known.label)
        assert kept["tokens"].shape == (6, 2, 4)
        assert kept["tokens"].dtype == torch.float16
    assert encoder.shown == 6
    cached_features(
        tmp_path,
        subject(encoder),
        FeatureExtractor(encoder, {"cls": Cls(), "mean": Mean()}),
        "bank",
        None,
    )
    assert encoder.shown == 12  # for the mean, which was not there


def test_other_images_weights_blocks_and_norms_are_stored_apart(tmp_path):
    vit = ViT(image_size=4, patch_size=4, width=8, depth=2, heads=2)
    for number, (part, key, where) in enumerate(
        [
            ("bank", "a", ()),
            ("held_out", "a", ()),
            ("bank", "b", ()),
            ("bank", "a", (1,)),
            ("bank", "a", (None, False)),
        ],
        1,
    ):
        cached_features(
            tmp_path, subject(vit, key), FeatureExtractor(vit, {"cls": Cls()}, *where), part, None
        )
        assert len(list(tmp_path.glob("*.json"))) == 2 * number  # features and labels


def test_nothing_is_left_of_a_pass_that_failed(tmp_path):
    encoder = Encoder(scale=1e6)
    with pytest.raises(ValueError, match="features are too large for float16"):
        cached_features(
            tmp_path, subject(encoder), FeatureExtractor(encoder, {}), "bank", None, torch.float16
        )
    assert not list(tmp_path.iterdir())


def test_tokens_that_no_disk_holds_are_refused_before_the_first_image(tmp_path):
    encoder = Encoder()
    encoder.width = 10**14
    with pytest.raises(OSError, match=r"the tokens of 6 images take .* GB left; take fewer"):
        cached_features(
            tmp_path, subject(encoder), FeatureExtractor(encoder, {}), "bank", None, torch.float16
        )
    assert encoder.shown == 0


def folder(root, label_maps=False):
    """Six pictures of two classes in a folder, held out, or with label maps of two classes."""
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), np.uint8)
    for number, picture in enumerate(pixels):
        for kind in ("x", "y") if label_maps else ("val/a" if number % 2 else "val/b",):
            (root / kind).mkdir(parents=True, exist_ok=True)
            content = picture[..., 0] % 2 if kind == "y" else picture
            Image.fromarray(content).save(root / kind / f"{number}.png")


def seen(tmp_path, data, labels=None):
    """How many held-out images an encoder is shown where features may be kept already."""
    if labels:
        data.learn_from(labels)
        data.squares = True
    data.setup()
    encoder = Encoder()
    asked = EvaluatedCheckpoint(
        "a", encoder, data, data.on_after_batch_transfer, nullcontext, Path(), "key"
    )
    extractor = FeatureExtractor(encoder, {"cls": Cls()})
    label = cached_features(tmp_path / "cache", asked, extractor, "held_out", None)["label"]
    return encoder.shown, label.tolist()


@pytest.mark.parametrize("in_memory", [False, True])
def test_features_are_made_anew_where_a_picture_or_its_label_has_changed(tmp_path, in_memory):
    def looked():
        root = str(tmp_path / "set")
        data = ImageFolder(root, NoAugment(), 8, 2, num_workers=0, in_memory=in_memory)
        data.only_judged = True
        return seen(tmp_path, data)

    folder(tmp_path / "set")
    assert [looked()[0], looked()[0]] == [6, 0]
    (tmp_path / "set/val/a/1.png").rename(tmp_path / "set/val/b/1.png")
    count, label = looked()
    assert (count, sum(label)) == (6, 4)
    Image.new("RGB", (8, 8)).save(tmp_path / "set/val/b/1.png")
    assert [looked()[0], looked()[0]] == [6, 0]


def test_features_are_made_anew_where_a_label_map_has_changed(tmp_path):
    def looked():
        parts = ("x", "y", "x", "y")
        data = LabelMaps(str(tmp_path), 2, *parts, NoAugment(), Jitter(), 8, 2, num_workers=0)
        return seen(tmp_path, data, "label_maps")[0]

    folder(tmp_path, label_maps=True)
    assert [looked(), looked()] == [6, 0]
    Image.new("L", (16, 16)).save(tmp_path / "y/3.png")
    with pytest.raises(ValueError, match="8 x 8 pixels and its label map 16 x 16"):
        looked()
