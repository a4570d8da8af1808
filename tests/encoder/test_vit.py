from itertools import product

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from mim.encoder.attention import pick
from mim.encoder.encoder import encode_some
from mim.encoder.vit import ViT
from mim.tokens import take


class Plain:
    """An encoder that computes all tokens."""

    def __init__(self, encoder):
        self.encode = encoder.encode


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return ViT(image_size=(16, 24), patch_size=4, width=16, depth=2, heads=2).eval()


@pytest.fixture
def image():
    return torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def test_features_are_cls_and_patches_of_a_grid_that_need_not_be_square(encoder, image):
    assert encoder.geometry.grid == (4, 6)
    assert encoder(image).shape == (2, 25, 16)


def test_weights_and_features_are_those_of_timm(encoder, image):
    timm = VisionTransformer((16, 24), 4, embed_dim=16, depth=2, num_heads=2, num_classes=0)
    timm.load_state_dict(encoder.state_dict(), strict=True)
    assert torch.allclose(encoder(image), timm.eval().forward_features(image), atol=1e-5)


def test_half_precision_gives_nearly_the_same_features(encoder, image):
    """On a CPU it takes another path through attention."""
    expected = encoder(image)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(image).float()
    assert not torch.equal(half, expected)
    assert torch.allclose(half, expected, atol=0.05)


def test_embedding_some_patches_equals_taking_them_from_all(encoder, image):
    index = torch.tensor([[[5, 0, 23], [1, 1, 7]], [[2, 3, 4], [22, 8, 9]]])
    assert torch.allclose(encoder.embed(image, index), take(encoder.embed(image), index), atol=1e-6)


def test_the_order_of_visible_patches_does_not_matter(encoder, image):
    order = torch.tensor([3, 0, 2, 1])
    index = torch.tensor([[[5, 0, 23, 9]], [[2, 3, 4, 20]]])
    latent = encoder.encode(encoder.embed(image, index)[:, 0])
    shuffled = encoder.encode(encoder.embed(image, index[..., order])[:, 0])
    assert torch.allclose(shuffled[:, 0], latent[:, 0], atol=1e-5)
    assert torch.allclose(shuffled[:, 1:], latent[:, 1:][:, order], atol=1e-5)


def test_every_patch_stands_somewhere_else(encoder):
    tokens = encoder.embed(torch.zeros(1, 3, 16, 24))[0]
    assert tokens.unique(dim=0).shape == tokens.shape


def test_hidden_patches_are_not_seen(encoder, image):
    index = torch.tensor([[[5, 0]], [[2, 3]]])
    seen = encoder.embed(image, index)
    altered = image.clone()
    altered[..., -4:, :] += 1  # the last row of patches
    assert torch.equal(encoder.embed(altered, index), seen)


def test_positions_are_fixed(encoder, image):
    encoder(image).sum().backward()
    assert not encoder.pos_embed.requires_grad
    assert encoder.pos_embed.grad is None
    assert all(p.grad is not None for name, p in encoder.named_parameters() if name != "pos_embed")


@pytest.mark.parametrize("wanted", [1, 3, torch.tensor([0, 8, 8, 3, 13])], ids=["cls", "3", "rows"])
@pytest.mark.parametrize("padded", [False, True])
def test_tokens_that_are_wanted_are_as_if_all_were_computed(image, wanted, padded):
    """Also what stochastic depth leaves out; the last feed-forward network sees no others."""
    model = ViT((16, 24), 4, width=16, depth=2, heads=2, drop_path=0.5).train()
    index = torch.tensor([[5, 0, 23, 9, 1, 2], [2, 3, 4, 20, 7, 6]])
    valid = torch.arange(6) < torch.tensor([[6], [4]]) if padded else None
    count, found = [], []
    model.blocks[-1].mlp.register_forward_pre_hook(lambda _, given: count.append(given[0].numel()))
    for seed, some in product(range(4), (True, False)):
        torch.manual_seed(seed)
        tokens = model.embed(image, index[:, None])[:, 0]
        left = encode_some(model if some else Plain(model), tokens, wanted, index, valid)
        model.zero_grad()
        left.square().sum().backward()
        found.append([left, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert count == [found[0][0].numel(), 2 * 7 * 16] * 4
    for some, whole in zip(found[::2], found[1::2], strict=True):
        for mine, other in zip(some, whole, strict=True):
            assert torch.allclose(mine, other, rtol=1e-4, atol=1e-4), (mine - other).abs().max()
    with torch.no_grad():  # an image whose last block was left out is as it entered that
        model.blocks[-1].drop_path1.drop_prob = model.blocks[-1].drop_path2.drop_prob = 1.0
        entering = model.encode_blocks(tokens, [1], index, valid)[0]
        left = model.encode_some(tokens, wanted, index, valid)
        assert torch.equal(left, model.norm(pick(entering, wanted)))


def test_drop_path_rises_linearly_over_the_blocks():
    encoder = ViT(image_size=8, patch_size=4, width=8, depth=3, heads=2, drop_path=0.2)
    assert [
        getattr(block.drop_path1, "drop_prob", 0.0) for block in encoder.blocks
    ] == pytest.approx([0, 0.1, 0.2])


def test_every_norm_uses_the_epsilon_of_a_vit(encoder):
    assert {m.eps for m in encoder.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-6}


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="image size 30 x 30 is not divisible by patch_size=4"):
        ViT(image_size=30, patch_size=4, width=8, depth=1, heads=2)
    with pytest.raises(ValueError, match="width=8, heads=3; the heads must divide"):
        ViT(image_size=8, patch_size=4, width=8, depth=1, heads=3)
    with pytest.raises(ValueError, match="width=6; needs a multiple of 4"):
        ViT(image_size=8, patch_size=4, width=6, depth=1, heads=2)


def test_without_a_cls_token_there_are_patches_alone(image):
    encoder = ViT(image_size=(16, 24), patch_size=4, width=16, depth=2, heads=2, cls=False).eval()
    timm = VisionTransformer(
        (16, 24),
        4,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=0,
        class_token=False,
        global_pool="",
    )
    timm.load_state_dict(encoder.state_dict(), strict=True)
    assert encoder.prefix == 0
    assert encoder(image).shape == (2, 24, 16)
    assert torch.allclose(encoder(image), timm.eval().forward_features(image), atol=1e-5)
    assert torch.allclose(encoder.attention(image).sum(-1), torch.ones(2, 2, 24))
    index, valid = (
        torch.tensor([[5, 0, 23], [2, 3, 3]]),
        torch.tensor([[True, True, True], [True, True, False]]),
    )
    some = encoder.embed(image, index[:, None])[:, 0]
    alone = encoder.encode(some[1:, :2], index[1:, :2])
    assert torch.allclose(encoder.encode(some, index, valid)[1:, :2], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("start", "deviation"), [("mae", (2 / 80) ** 0.5), ("dino", 0.02), ("ijepa", 0.02)]
)
def test_weights_start_as_they_are_said_to(start, deviation):
    torch.manual_seed(0)
    encoder = ViT(16, 4, 16, 8, 2, start=start)
    weights = torch.stack([block.mlp.fc1.weight for block in encoder.blocks])
    assert weights.std().item() == pytest.approx(deviation, rel=0.05)
    assert all(block.mlp.fc1.bias.eq(0).all() for block in encoder.blocks)
    assert encoder.patch_embed.proj.bias.eq(0).all() == (start == "ijepa")
