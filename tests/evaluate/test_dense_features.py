from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.scattered_digits import DigitScenes, ScatteredDigits
from mim.dense import IGNORE
from mim.encoder.vit import ViT
from mim.evaluate.dense import Patches
from mim.evaluate.dense_knn import DenseKNN
from mim.evaluate.dense_linear import DenseLinear
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint


class Telling(ViT):
    """Encoder whose tokens say the class of most pixels of each patch, for pictures that it was
    shown before.
    """

    def learn(self, images, label_maps, classes):
        self.known = images.flatten(1)
        self.shares = Patches(torch.zeros(0), label_maps, self.geometry.grid).shares(
            torch.arange(len(images)), classes
        )

    def forward(self, image):
        which = torch.cdist(image.flatten(1), self.known).argmin(dim=1)
        tokens = torch.nn.functional.pad(
            self.shares[which], (0, self.width - self.shares.shape[-1])
        )
        return torch.cat([tokens[:, :1], tokens], dim=1)


@pytest.fixture
def subject(tmp_path: Path) -> EvaluatedCheckpoint:
    data = ScatteredDigits(NoAugment(), Jitter(), 32, 8, train_scenes=40, held_out=8)
    data.learn_from("label_maps")
    data.squares = True
    torch.manual_seed(0)
    encoder = Telling(32, 4, 32, 1, 4).eval()
    batches = [*data.bank_dataloader(), *data.val_dataloader()]
    shown = torch.cat([data.on_after_batch_transfer(batch).image for batch in batches])
    encoder.learn(shown, torch.cat([batch.label_map for batch in batches]), 11)
    return EvaluatedCheckpoint(
        "run",
        encoder,
        data,
        data.on_after_batch_transfer,
        nullcontext,
        tmp_path,
        "key",
        tmp_path / "cache",
    )


@pytest.mark.parametrize("judge", [DenseKNN(k=5), DenseLinear(epochs=30)])
def test_tokens_that_say_the_class_are_judged_well_and_others_badly(subject, judge):
    good = judge([subject])
    assert good[f"{judge.name}/miou"] > 0.35
    assert list(subject.cache.iterdir())
    torch.manual_seed(1)
    blind = subject._replace(encoder=ViT(32, 4, 32, 1, 4).eval(), key="other")
    assert judge([blind])[f"{judge.name}/miou"] < good[f"{judge.name}/miou"] - 0.2


@pytest.mark.parametrize("judge", [DenseKNN(k=5), DenseLinear(epochs=1)])
def test_label_maps_that_teach_nothing_are_refused(subject, judge, monkeypatch):
    nothing = torch.full((32, 32), IGNORE, dtype=torch.uint8)
    monkeypatch.setattr(DigitScenes, "label_map", lambda self, number: nothing)
    with pytest.raises(ValueError, match=r"every pixel of the training .* see data\.ignore"):
        judge([subject])


def test_what_is_cached_is_judged_alike(subject):
    judge = DenseKNN(k=5)
    first = judge([subject])
    again = judge([subject])  # from the cache
    assert judge([subject._replace(cache=None)]) == first == again


def test_the_image_of_a_limit_is_that_of_its_label_map(subject):
    some = DenseKNN(k=1, held_out_limit=3, bank_limit=7)
    assert some([subject])["table"][0]["block"] == 1


def test_shares_of_a_patch_leave_out_what_is_ignored():
    label_map = torch.tensor([[0, 1, IGNORE, IGNORE], [1, 1, 2, IGNORE]], dtype=torch.uint8)[None]
    shares = Patches(torch.zeros(1), label_map, (1, 2)).shares(torch.tensor([0]), 3)
    assert shares.tolist() == [[[0.25, 0.75, 0.0], [0.0, 0.0, 0.25]]]


def test_patches_of_which_nothing_is_known_do_not_vote():
    label_map = torch.tensor([[[IGNORE, 1], [1, 1]]], dtype=torch.uint8)
    bank = Patches(torch.eye(4)[None], label_map, (2, 2))
    (scores,) = DenseKNN(k=1).score(bank, bank, 2, torch.device("cpu"))
    assert scores.argmax(dim=-1).tolist() == [[1, 1, 1, 1]]
