"""What pools are shown: attention of one block's rows, and another model's."""

from functools import partial

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_attention
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.pool.by_attention import CentreAttention, MeanAttention
from mim.pool.oracle import Oracle
from mim.pool.pool import Shape, fitted
from mim.pool.simple import Cls, Mean
from tests.e2e.my_encoder import Registers

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def image(size=16):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "encoder",
    [ViT, Beit, *(partial(Beit, positions=p) for p in ("block_bias", "sincos_rows_first"))],
)
@torch.no_grad()
def test_the_row_of_cls_in_the_last_block_is_the_encoder_s_own(encoder):
    torch.manual_seed(0)
    encoder = encoder(**SIZES).eval()
    if isinstance(encoder, Beit):
        for name, table in encoder.named_parameters():
            if name.endswith("bias_table"):
                table.normal_()
    _, attention = FeatureExtractor(encoder, {"mean_attention": MeanAttention()}).tokens(image())
    assert torch.allclose(attention[:, :, 0], cls_attention(encoder, image()), atol=1e-6)


@torch.no_grad()
def test_pools_ask_for_cls_and_patches_whatever_stands_between_them():
    torch.manual_seed(0)
    encoder = Registers(**SIZES).eval()
    for parameter in encoder.parameters():
        parameter.normal_(std=0.3)
    pools = {
        "cls": MeanAttention(),
        "middle": CentreAttention(Shape(16, (4, 4)), 2),
        "mean": Mean(),
        "token": Cls(),
    }
    tokens, pooled = FeatureExtractor(encoder, pools)(image())
    attention = encoder.attention(image())
    middle = [3 + patch for patch in (5, 6, 9, 10)]
    for name, rows in (("cls", [0]), ("middle", middle)):
        share = attention[:, :, rows, 3:].mean((1, 2))
        expected = (share / share.sum(1, keepdim=True))[:, None] @ tokens[:, 3:]
        assert torch.allclose(pooled[name], expected[:, 0], atol=1e-5)
    assert torch.equal(pooled["mean"], tokens[:, 3:].mean(1))
    assert torch.equal(pooled["token"], tokens[:, 0])
    at_first = FeatureExtractor(encoder, pools, block=1, norm=False)(image())[1]
    share = encoder.attention(image(), [0], 1)[:, :, 0, 3:].mean(1)
    (left,) = encoder.encode_blocks(encoder.embed(image()), [1])
    expected = (share / share.sum(1, keepdim=True))[:, None] @ left[:, 3:]
    assert torch.allclose(at_first["cls"], expected[:, 0], atol=1e-5)


@torch.no_grad()
def test_an_oracle_that_is_the_model_itself_is_mean_attention():
    torch.manual_seed(0)
    encoder = ViT(**SIZES).eval()
    pools = {"own": MeanAttention(), "oracle": fitted(partial(Oracle, encoder=encoder), encoder)}
    pooled = FeatureExtractor(encoder, pools)(image())[1]
    assert torch.allclose(pooled["own"], pooled["oracle"], atol=1e-6)


@torch.no_grad()
def test_an_oracle_of_another_size_sees_the_picture_at_its_own_and_is_never_trained():
    torch.manual_seed(0)
    encoder, other = ViT(**SIZES), ViT(**SIZES | {"image_size": 48, "patch_size": 8})
    pool = fitted(partial(Oracle, encoder=other), encoder).train()
    assert pool.attention(image()).shape == (2, 16)
    assert not other.training
    assert not any(weight.requires_grad for weight in pool.parameters())


def test_stages_have_no_blocks_to_look_at():
    swin = Swin(image_size=32, patch_size=8, width=8, depths=[1, 1], heads=[2, 4], window=4)
    with pytest.raises(ValueError, match="block=1 of Swin cannot be looked at: it has stages"):
        FeatureExtractor(swin, {}, block=1)(image(32))
    with pytest.raises(
        ValueError, match="block=3 of Swin cannot be looked at: it has blocks 1 to 2"
    ):
        FeatureExtractor(swin, {}, block=3)
    assert FeatureExtractor(swin, {})(image(32))[0].shape == (2, 16, 16)


def test_an_oracle_without_cls_is_refused():
    swin = Swin(image_size=32, patch_size=8, width=8, depths=[1, 1], heads=[2, 4], window=4)
    with pytest.raises(
        ValueError, match="Swin has no cls token that attends to all patches, so it is no oracle"
    ):
        fitted(partial(Oracle, encoder=swin), ViT(**SIZES))
