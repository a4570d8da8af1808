from functools import partial
from itertools import product

import pytest
import torch
from timm.layers import DropPath
from timm.models.beit import Beit as TimmBeit

from mim.encoder.attention import pick
from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_tokens, encode_some
from mim.encoder.positions import sincos_positions
from mim.tokens import take

POSITIONS = ["shared_bias", "block_bias", "absolute", "sincos_rows_first_and_block_bias"]


@pytest.fixture(params=POSITIONS)
def encoder(request):
    torch.manual_seed(0)
    encoder = Beit((16, 24), 4, width=16, depth=2, heads=2, positions=request.param).eval()
    # tables start at zero, and would show nothing
    for name, parameter in encoder.named_parameters():
        if name.endswith("bias_table"):
            torch.nn.init.normal_(parameter)
    return encoder


@pytest.fixture
def image():
    return torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))


def in_numbers_that_show(encoder):
    """Layer scale and initial weights make each branch small: make them large, so that a wrong bias
    shows.
    """
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(5)
    return encoder


def test_weights_and_features_are_those_of_timm(encoder, image):
    in_numbers_that_show(encoder)
    timm = TimmBeit(
        (16, 24),
        4,
        embed_dim=16,
        depth=2,
        num_heads=2,
        num_classes=0,
        global_pool="",
        init_values=0.1,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_abs_pos_emb=encoder.pos_embed is not None,
        use_shared_rel_pos_bias=encoder.rel_pos_bias is not None,
        use_rel_pos_bias=encoder.blocks[0].attn.relative_position_bias_table is not None,
    )
    timm.load_state_dict(encoder.state_dict(), strict=True)
    assert torch.allclose(encoder(image), timm.eval().forward_features(image), atol=1e-5)


def test_all_patches_in_any_order_give_the_same(encoder, image):
    in_numbers_that_show(encoder)
    order = torch.stack(
        [torch.randperm(24, generator=torch.Generator().manual_seed(i)) for i in range(2)]
    )
    whole = encoder(image)
    shuffled = encoder.encode(encoder.embed(image, order[:, None])[:, 0], order)
    assert torch.allclose(shuffled[:, 0], whole[:, 0], atol=1e-5)
    assert torch.allclose(shuffled[:, 1:], take(whole[:, 1:], order[:, None])[:, 0], atol=1e-5)


def test_a_subset_sees_the_biases_of_its_own_distances(encoder, image):
    """A subset equals all patches of which the others are hidden from attention."""
    in_numbers_that_show(encoder)
    index = torch.tensor([[5, 0, 23], [7, 1, 12]])
    subset = encoder.encode(encoder.embed(image, index[:, None])[:, 0], index)
    everything = torch.arange(24).expand(2, -1)
    valid = torch.zeros(2, 24, dtype=torch.bool).scatter(1, index, True)
    hidden = encoder.encode(encoder.embed(image), everything, valid)
    assert torch.allclose(subset[:, 0], hidden[:, 0], atol=1e-5)
    assert torch.allclose(subset[:, 1:], take(hidden[:, 1:], index[:, None])[:, 0], atol=1e-5)


ORDER = torch.stack(
    [torch.randperm(24, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
)
SEEN = {  # which patches there are, and which of them are none of padding
    "all": (None, None),
    "all in an order": (ORDER, None),
    "some": (ORDER[:, :6], None),
    "padded": (ORDER[:, :6], torch.arange(6) < torch.tensor([[6], [4]])),
}


class Plain:
    """An encoder that computes all tokens."""

    def __init__(self, encoder):
        self.encode = encoder.encode


@pytest.mark.parametrize("wanted", [1, 3, torch.tensor([0, 5, 5, 3, 11])], ids=["cls", "3", "rows"])
@pytest.mark.parametrize("seen", SEEN)
def test_tokens_that_are_wanted_are_as_if_all_were_computed(encoder, image, seen, wanted):
    """Their gradients too; the last feed-forward network sees no others."""
    index, valid = SEEN[seen]
    in_numbers_that_show(encoder).double().train()
    for path in ("drop_path1", "drop_path2"):
        encoder.blocks[-1].register_module(path, DropPath(0.5))
    sizes, found = [], []
    encoder.blocks[-1].mlp.register_forward_pre_hook(
        lambda _, given: sizes.append(given[0].numel())
    )
    for seed, chooses in product(range(3), (encoder, Plain(encoder))):
        torch.manual_seed(seed)
        tokens = encoder.embed(image.double(), None if index is None else index[:, None])
        tokens = tokens if index is None else tokens[:, 0]
        left = encode_some(chooses, tokens, wanted, index, valid)
        encoder.zero_grad()
        left.square().sum().backward()
        found.append([left, *(p.grad for p in encoder.parameters())])
    assert sizes == [found[0][0].numel(), 2 * (1 + tokens.shape[1]) * 16] * 3
    for some, whole in zip(found[::2], found[1::2], strict=True):
        for mine, other in zip(some, whole, strict=True):
            assert torch.allclose(mine, other, rtol=1e-9, atol=1e-9), (mine - other).abs().max()


@pytest.mark.parametrize("seen", SEEN)
def test_of_earlier_blocks_all_tokens_are_left_when_some_of_the_last_are_wanted(
    encoder, image, seen
):
    index, valid = SEEN[seen]
    tokens = encoder.embed(image, None if index is None else index[:, None])
    tokens = tokens if index is None else tokens[:, 0]
    some = encoder.encode_blocks(tokens, [2, 1, 0], index, valid, wanted=4)
    last, *whole = encoder.encode_blocks(tokens, [2, 1, 0], index, valid)
    for mine, other in zip(some, [pick(last, 4), *whole], strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_where_patches_stand_matters(encoder, image):
    in_numbers_that_show(encoder)
    tokens = encoder.embed(image)[:, :3]
    here, there = (
        torch.tensor([[0, 1, 2]]).expand(2, -1),
        torch.tensor([[0, 1, 23]]).expand(2, -1),
    )
    if encoder.pos_embed is None:
        assert not torch.allclose(
            encoder.encode(tokens, here), encoder.encode(tokens, there), atol=1e-3
        )
    else:
        token = encoder.new_token()
        assert not torch.allclose(
            encoder.position_token(token, here[:, None]),
            encoder.position_token(token, there[:, None]),
            atol=1e-3,
        )


def test_every_parameter_is_trained(encoder, image):
    encoder(image).square().sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_half_precision_gives_nearly_the_same_features(encoder, image):
    expected = encoder(image)
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder(image).float()
    assert not torch.equal(half, expected)
    assert torch.allclose(half, expected, atol=0.05)


def test_initial_weights_are_cut_at_one_deviation_and_divided_by_depth(golden):
    """Against the official draw, models/vision_transformer.py."""
    reference = golden("simmim_init_stats")
    m = reference.meta["vit"]
    torch.manual_seed(0)
    for positions in POSITIONS[::2]:
        encoder = Beit(
            m["img_size"],
            m["patch_size"],
            m["embed_dim"],
            m["depth"],
            m["num_heads"],
            positions,
            layer_scale=m["init_values"],
        )
        ours = dict(encoder.named_parameters()) | {"mask_token": encoder.new_token()}
        compared = 0
        for name, (mean, std, low, high) in zip(
            reference.names("vit.names"), reference["vit.stats"].tolist(), strict=True
        ):
            value = ours.get(name.removeprefix("encoder."))
            if value is None:
                continue
            value = value.detach().double()
            compared += 1
            assert abs(value.mean().item() - mean) <= 8 * std / value.numel() ** 0.5 + 1e-6, name
            assert (
                abs(value.std().item() - std) <= max(0.03, 4 / value.numel() ** 0.5) * std + 1e-6
            ), name
            bound = max(-low, high)
            assert value.abs().max().item() <= bound * (1 + 10 / value.numel() ** 0.5), name
        assert compared > 10 * m["depth"]


def test_drop_path_rises_linearly_over_the_blocks():
    encoder = Beit(8, 4, width=8, depth=3, heads=2, drop_path=0.2)
    assert [
        getattr(block.drop_path1, "drop_prob", 0.0) for block in encoder.blocks
    ] == pytest.approx([0, 0.1, 0.2])


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="image size 30 x 30 is not divisible by patch_size=4"):
        Beit(30, 4, width=8, depth=1, heads=2)
    with pytest.raises(ValueError, match="width=8, heads=3; the heads must divide"):
        Beit(8, 4, width=8, depth=1, heads=3)


def test_weights_of_attention_are_left_out_in_training_alone():
    torch.manual_seed(0)
    encoder, image = Beit(16, 4, 8, 2, 2, attention_dropout=0.5), torch.randn(2, 3, 16, 16)
    plain = Beit(16, 4, 8, 2, 2)
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder.eval()(image), plain(image))
    assert not torch.equal(encoder.train()(image), encoder(image))


def test_fixed_positions_stay_as_they_are_when_everything_is_to_be_trained():
    """Rows come first, the cls token has none; they are in a checkpoint, and in no optimiser."""
    encoder = Beit(
        (16, 24), 4, width=16, depth=1, heads=2, positions="sincos_rows_first"
    ).requires_grad_()
    table = encoder.state_dict()["pos_embed"]
    assert torch.equal(table[0], sincos_positions(16, (4, 6), rows_first=True).float())
    assert not table[0, 0].any()
    assert "pos_embed" not in dict(encoder.named_parameters())


def test_a_cls_token_that_alone_is_wanted_leaves_weights_of_attention_out_too():
    torch.manual_seed(0)
    encoder, image = Beit(16, 4, 8, 1, 2, attention_dropout=0.5), torch.randn(2, 3, 16, 16)
    assert not torch.equal(cls_tokens(encoder.train(), image), cls_tokens(encoder, image))
    assert torch.allclose(cls_tokens(encoder.eval(), image), encoder(image)[:, 0], atol=1e-6)
