"""An encoder, a pool and a head."""

import pytest
import torch
from torch import nn

from mim.batch import blank
from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.pool.abmilp import AbMILP
from mim.pool.simple import Cls, ClsMean, Mean


def vit(depth=3):
    return ViT(image_size=32, patch_size=8, width=16, depth=depth, heads=2)


ENCODERS = {
    "vit": vit,
    "beit": lambda: Beit(32, 8, 16, 3, 2, positions="block_bias"),
    "swin": lambda: Swin(32, 8, 8, [2, 1], [2, 2], 2),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_parameter_of_every_encoder_learns(kind, batch_of):
    model = Classifier(ENCODERS[kind](), {"mean": Mean()}, 5)
    model(batch_of(torch.randn(2, 3, 32, 32))).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_head_starts_near_zero(batch_of):
    model = Classifier(vit(), {"mean": Mean()}, 10)
    assert model.head.weight.std().item() == pytest.approx(2e-5, rel=0.2)
    assert not model.head.bias.any()
    assert model(batch_of(torch.randn(4, 3, 32, 32))).abs().max() < 1e-3


def test_the_head_of_a_swin_starts_as_simmims_and_any_may_start_elsewhere():
    swin = Classifier(ENCODERS["swin"](), {"mean": Mean()}, 100)
    assert swin.head.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert Classifier(
        vit(), {"mean": Mean()}, 100, head_std=0.1
    ).head.weight.std().item() == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize(
    ("kind", "pool", "pooled"),
    [
        ("vit", Mean(), True),
        ("beit", Mean(), True),
        ("swin", Mean(), False),
        ("vit", Cls(), False),
        ("vit", AbMILP, False),
    ],
)
def test_the_last_norm_stands_where_it_does_officially(kind, pool, pooled):
    model = Classifier(ENCODERS[kind](), {"pool": pool}, 5)
    assert hasattr(model, "fc_norm") == pooled
    assert isinstance(model.encoder.norm, nn.Identity) == pooled


def test_the_last_norm_can_be_put_elsewhere():
    assert not hasattr(Classifier(vit(), {"mean": Mean()}, 5, norm="tokens"), "fc_norm")
    both = Classifier(vit(), {"cls_mean": ClsMean()}, 5, norm="pooled")
    assert both.fc_norm.normalized_shape == (32,)
    assert both(blank(2, (32, 32))).shape == (2, 5)


def test_only_the_last_blocks_and_what_follows_them_learn():
    for blocks in (0, 1, 3):
        model = Classifier(vit(), {"cls": Cls()}, 5)
        model.freeze(blocks)
        learn = {name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad}
        assert "head" in learn
        assert ("encoder.norm" in learn) == (blocks > 0)
        assert {name.split(".")[2] for name in learn if ".blocks." in name} == {
            str(n) for n in range(3 - blocks, 3)
        }
        assert not any("patch_embed" in name for name in learn)


@pytest.mark.parametrize(
    ("encoder", "pools", "message"),
    [
        ("swin", {"cls": Cls()}, "Swin"),
        ("vit", {"cls": Cls(), "mean": Mean()}, "one pool and got 2"),
    ],
)
def test_a_pool_that_cannot_be_is_refused(encoder, pools, message):
    with pytest.raises(ValueError, match=message):
        Classifier(ENCODERS[encoder](), pools, 5)


def test_more_blocks_than_there_are_cannot_be_trained():
    with pytest.raises(ValueError, match="train_blocks=4, but the encoder has 3 blocks"):
        Classifier(vit(), {"mean": Mean()}, 5).freeze(4)
