"""Few images of each class."""

import pytest
import torch

from mim.evaluate.features import Features
from mim.evaluate.logistic import Logistic
from mim.evaluate.low_shot import LowShot, draw, spread
from mim.pool.simple import Mean


def test_each_class_gives_as_many_images_and_fewer_shots_are_some_of_the_same():
    label = torch.arange(30) % 3
    chosen = draw(label, 3, 5, seed=0)
    assert label[chosen].bincount().tolist() == [5, 5, 5]
    assert len(set(chosen.tolist())) == 15
    assert set(draw(label, 3, 2, seed=0).tolist()) < set(chosen.tolist())
    assert set(draw(label, 3, 5, seed=1).tolist()) != set(chosen.tolist())


def test_the_interval_of_a_mean_is_student_s():
    found = spread([0.1, 0.2, 0.3])
    assert found["top1"] == pytest.approx(0.2)
    half = 4.302653 * 0.1 / 3**0.5
    assert found["top1_interval"] == pytest.approx([0.2 - half, 0.2 + half])


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="shots=11, but a class has only 10 images"):
        draw(torch.arange(30) % 3, 3, 11, seed=0)
    for arguments in ({"shots": []}, {"shots": 0}, {"seeds": [1]}, {"seeds": [1, 1]}):
        with pytest.raises(ValueError, match=r"LowShot\.shots=|LowShot got seeds="):
            LowShot(Logistic(), {"mean": Mean()}, **arguments)


def clusters(seed):
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(3).repeat_interleave(20)
    return Features(torch.eye(8)[label] * 4 + torch.randn(60, 8, generator=generator), label)


def test_logistic_regression_tells_clusters_apart_for_every_strength():
    bank, held_out = clusters(0), clusters(1)
    scores = Logistic(C=[0.1, 1])(bank, held_out.feature, 3)
    assert list(scores) == ["C=0.1", "C=1"]
    assert all(
        (score.argmax(1) == held_out.label).float().mean() > 0.95 for score in scores.values()
    )
    assert scores["C=1"].equal(Logistic()(bank, held_out.feature, 3)["C=1"])


def test_logistic_regression_never_chooses_a_class_that_it_was_not_shown():
    bank = clusters(0)
    two = Features(bank.feature[:40], bank.label[:40])
    assert set(Logistic()(two, bank.feature, 3)["C=1"].argmax(1).tolist()) == {0, 1}


def test_a_strength_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"Logistic.C=0 does not fit; it should be more than 0"):
        Logistic(C=0)
