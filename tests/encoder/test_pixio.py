"""Several cls tokens: each has a position and a say, padding changes none of them, and a run's
encoder opens again.
"""

import pytest
import torch

from mim.encoder.pixio import Pixio
from mim.pool.pool import pool_tokens
from mim.pool.simple import Cls, Mean
from mim.weights.load import encoder_of

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def built(**settings):
    torch.manual_seed(0)
    return Pixio(**SIZES, **settings).eval()


def test_tokens_before_the_patches_are_as_many_as_asked_for_and_pools_know_the_first():
    encoder = built(cls_tokens=3)
    tokens = encoder(torch.randn(2, 3, 16, 16))
    assert tokens.shape == (2, 3 + 16, 16)
    assert torch.equal(Cls()(pool_tokens(tokens, encoder.prefix, Cls.needs)), tokens[:, 0])
    assert torch.equal(
        Mean()(pool_tokens(tokens, encoder.prefix, Mean.needs)), tokens[:, 3:].mean(1)
    )


def test_tokens_and_positions_begin_small():
    encoder = Pixio(**SIZES, cls_tokens=100)
    for drawn in (encoder.cls_token, encoder.pos_embed):
        assert drawn.std().item() == pytest.approx(0.02, rel=0.1)


def test_width_of_its_mlps_and_stochastic_depth_are_those_asked_for():
    encoder = Pixio(**SIZES, mlp_ratio=2.0, drop_path=0.3)
    assert {block.mlp.fc1.out_features for block in encoder.blocks} == {32}
    assert encoder.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)


def test_each_cls_token_has_a_position_of_its_own():
    encoder, image = built(cls_tokens=3), torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        encoder.cls_token.zero_()
        before = encoder(image)
        encoder.pos_embed[:, 2, 0] += 5  # of one channel: a layer norm takes off what all have
        after = encoder(image)
    assert encoder.pos_embed.requires_grad
    moved = (after - before).abs().amax((0, 2))
    assert moved[2] > 0.5 > moved[:2].max() > 0


def test_padding_changes_no_token():
    encoder, image = built(), torch.randn(2, 3, 16, 16)
    index = torch.stack([torch.randperm(16) for _ in range(2)])
    few = encoder.encode(encoder.embed(image, index[:, None, :6])[:, 0], index[:, :6])
    valid = (torch.arange(9) < 6).expand(2, -1)
    padded = encoder.encode(encoder.embed(image, index[:, None, :9])[:, 0], index[:, :9], valid)
    assert torch.allclose(few, padded[:, : 8 + 6], atol=1e-5)


def test_an_encoder_of_a_run_opens_again(tmp_path):
    encoder, file = built(cls_tokens=5), tmp_path / "last.ckpt"
    names = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    config = {"encoder": {"_target_": "mim.encoder.pixio.Pixio", **SIZES, "cls_tokens": 5}}
    torch.save({"state_dict": names, "config": config, "epoch": 1}, file)
    opened, image = encoder_of(str(file)), torch.randn(1, 3, 16, 16)
    assert torch.equal(opened.eval()(image), encoder(image))
