import pytest
import torch
from timm.models.swin_transformer import SwinTransformer

from mim.encoder.swin import Swin
from mim.tokens import take


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return Swin((32, 64), 8, width=8, depths=[2, 2, 2], heads=[2, 2, 4], window=4).eval()


@pytest.fixture
def image():
    return torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


def test_a_patch_is_what_the_last_stage_sees(encoder, image):
    assert encoder.geometry.grid == (4, 8)
    assert encoder(image).shape == (2, 32, 32)
    assert encoder.embed(image).shape == (2, 32, 16 * 8)


def test_weights_and_features_are_those_of_timm(encoder, image):
    timm = SwinTransformer(
        (32, 64),
        2,
        num_classes=0,
        embed_dim=8,
        depths=(2, 2, 2),
        num_heads=(2, 2, 4),
        window_size=4,
    )
    timm.load_state_dict(encoder.state_dict(), strict=True)
    features = timm.eval().forward_features(image).flatten(1, 2)
    assert torch.allclose(encoder(image), features, atol=1e-5)


def test_all_patches_in_any_order_give_the_same(encoder, image):
    order = torch.stack(
        [torch.randperm(32, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    )
    whole = encoder(image)
    shuffled = encoder.encode(encoder.embed(image, order[:, None])[:, 0], order)
    assert torch.allclose(shuffled, take(whole, order[:, None])[:, 0], atol=1e-5)


def test_embedding_some_patches_equals_taking_them_from_all(encoder, image):
    index = torch.tensor([[[5, 0, 31], [1, 1, 7]], [[2, 3, 4], [22, 8, 9]]])
    assert torch.allclose(encoder.embed(image, index), take(encoder.embed(image), index), atol=1e-6)


def test_a_token_stands_for_every_small_patch(encoder):
    token = encoder.new_token()
    placed = encoder.position_token(token, torch.tensor([[[5, 0, 31]]]))
    assert placed.shape == (1, 1, 3, 16 * 8)
    assert torch.equal(placed.unflatten(-1, (16, 8)), token.expand(1, 1, 3, 16, 8))


def test_a_missing_patch_is_refused(encoder, image):
    index = torch.arange(31)[None, None].expand(2, 1, -1)
    tokens = encoder.embed(image, index)[:, 0]
    with pytest.raises(
        ValueError,
        match=r"need every patch and got 31 of 32; use model=simmim with a masker that throws none",
    ):
        encoder.encode(tokens, index[:, 0])


def test_initial_weights_have_the_official_distribution(golden):
    """models/swin_transformer.py; tensors of the official names of one stage and another are told
    apart by timm's.
    """
    reference = golden("simmim_init_stats")
    m = reference.meta["swin"]
    torch.manual_seed(0)
    stride = m["patch_size"] * 2 ** (len(m["depths"]) - 1)
    encoder = Swin(
        m["img_size"], stride, m["embed_dim"], m["depths"], m["num_heads"], m["window_size"]
    )
    ours = {f"encoder.{name}": p for name, p in encoder.named_parameters()} | {
        "encoder.mask_token": encoder.new_token()
    }
    for stage in range(1, len(m["depths"])):
        ours = {
            name.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample"): p
            for name, p in ours.items()
        }
    names = reference.names("swin.names")
    assert set(names) - set(ours) == {
        "encoder.absolute_pos_embed",
        "decoder.0.weight",
        "decoder.0.bias",
    }
    for name, (mean, std, _, _) in zip(names, reference["swin.stats"].tolist(), strict=True):
        if name in ours:
            value = ours[name].detach().double()
            assert abs(value.mean().item() - mean) <= 8 * std / value.numel() ** 0.5 + 1e-6, name
            assert (
                abs(value.std().item() - std) <= max(0.05, 5 / value.numel() ** 0.5) * std + 1e-6
            ), name


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="image size 40 x 40 is not divisible by patch_size=16"):
        Swin(40, 16, width=8, depths=[2, 2], heads=[2, 2], window=4)
    with pytest.raises(ValueError, match="2 depths and 1 heads"):
        Swin(32, 8, width=8, depths=[2, 2], heads=[2], window=4)
    with pytest.raises(ValueError, match=r"width=8, heads=\[2, 3\]"):
        Swin(32, 8, width=8, depths=[2, 2], heads=[2, 3], window=4)
    with pytest.raises(ValueError, match="patch_size=10 for 3 stages; needs a multiple of 4"):
        Swin(40, 10, width=8, depths=[2, 2, 2], heads=[2, 2, 2], window=4)
