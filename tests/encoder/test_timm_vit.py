"""timm's transformers, split: the numbers are timm's, on all patches and on any of them."""

import re

import pytest
import timm
import torch

from mim.encoder.timm_vit import TimmViT
from mim.tokens import take

SMALL = {"width": 48, "depth": 2, "heads": 4}
V2, V3 = "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"
WORKS = (
    *(
        "vit_tiny_patch16_224",
        "vit_base_patch8_224",
        "vit_base_patch16_224_miil",
        "vit_large_patch32_384",
    ),
    *(
        "vit_base_patch14_dinov2",
        V2,
        "vit_giant_patch14_reg4_dinov2",
        "vit_base_patch14_reg1_tipsv2",
    ),
    *(
        V3,
        "vit_small_patch16_dinov3_qkvb",
        "vit_huge_plus_patch16_dinov3",
        "vit_small_plus_patch16_dinov3_qkvb",
    ),
    *("vit_huge_patch14_gap_224", "vit_base_patch16_gap_224", "vit_giant_patch16_gap_224"),
    *(
        "vit_base_patch16_siglip_224",
        "vit_so400m_patch14_siglip_gap_224",
        "vit_base_patch16_clip_224",
    ),
    *(
        "vit_base_patch16_clip_quickgelu_224",
        "vit_xsmall_patch16_clip_224",
        "vit_base_patch16_plus_clip_240",
    ),
    *(
        "vit_pe_core_tiny_patch16_384",
        "vit_pe_spatial_tiny_patch16_512",
        "vit_pe_lang_large_patch14_448",
    ),
    *(
        "eva02_tiny_patch14_224",
        "eva02_base_patch14_448",
        "eva02_large_patch14_clip_224",
        "eva_giant_patch14_224",
    ),
    *(
        "eva_large_patch14_196",
        "beit3_base_patch16_224",
        "aimv2_large_patch14_224",
        "flexivit_small",
    ),
    *("deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "deit3_small_patch16_224"),
    *(
        "vit_base_patch16_rope_224",
        "vit_base_patch16_rope_mixed_224",
        "vit_base_patch16_rope_mixed_ape_224",
    ),
    *(
        "vit_medium_patch16_rope_reg1_gap_256",
        "vit_base_patch16_xp_224",
        "vit_base_patch16_18x2_224",
    ),
    *(
        "vit_base_patch16_rpn_224",
        "vit_so150m_patch16_reg4_map_256",
        "vit_medium_patch16_reg4_gap_256",
    ),
    *(
        "vit_dlittle_patch16_reg1_gap_256",
        "vit_dpwee_patch16_reg1_gap_256",
        "vit_intern300m_patch14_448",
    ),
    *(
        "vit_base_patch16_sapiens2",
        "vit_base_patch16_lingbot",
        "vit_base_patch16_radio_v3",
        "test_vit2",
    ),
)
# says the keys of every block
WHOLE = {"vit_base_patch16_sapiens2": {"width": 96, "depth": 12, "heads": 12}}
SEVERAL_MAPS = {
    "vit_base_patch16_18x2_224",
    "vit_dlittle_patch16_reg1_gap_256",
    "vit_dpwee_patch16_reg1_gap_256",
}
"""Blocks that attend more than once, or by a difference of two maps."""
ONE_SUM = SEVERAL_MAPS - {"vit_dlittle_patch16_reg1_gap_256"} | {"vit_base_patch16_xp_224"}
"""Blocks whose attention is not added on its own."""
REFUSED = {
    "beit_base_patch16_224": "is a beit, .*; encoder=beit_base is such a one",
    "swin_tiny_patch4_window7_224": "is a swin_transformer, .*; encoder=swin_base",
    "swinv2_tiny_window8_256": "is a swin_transformer_v2",
    "vit_base_r50_s16_224": "is a vision_transformer_hybrid",
    "vit_relpos_small_patch16_224": "is a vision_transformer_relpos",
    "samvit_base_patch16": "is a vision_transformer_sam",
    "naflexvit_base_patch16_gap": "is a naflexvit",
    "cait_xxs24_224": "is a cait",
    "xcit_nano_12_p16_224": "is a xcit",
    "hiera_tiny_224": "is a hiera",
    "resnet18": "is a resnet",
    "no_such_vit": "is no ViT of timm",
    "vit_smal_patch16_dinov3": "did you mean vit_small_patch16_dinov3",
    "hf-hub:somebody/vit": "is no ViT of timm",
    "local-dir:/tmp": "is no ViT of timm",
}


def pair(name):
    """The model of timm and ours, of the same weights, none of them at its start."""
    patch = int((re.search(r"patch(\d+)", name) or [0, 16])[1])
    torch.manual_seed(0)
    sizes = WHOLE.get(name, SMALL)
    timms = {"embed_dim": sizes["width"], "depth": sizes["depth"], "num_heads": sizes["heads"]}
    theirs = timm.create_model(name, num_classes=0, img_size=4 * patch, **timms).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    ours = TimmViT(name, 4 * patch, **sizes).eval()
    given = theirs.state_dict()
    ours.load_state_dict({key: given[key] for key in ours.state_dict()})
    left = {key.partition(".")[0] for key in given.keys() - ours.state_dict().keys()}
    assert left <= {"fc_norm", "attn_pool", "head"}
    return theirs, ours, torch.randn(2, 3, 4 * patch, 4 * patch)


def kept(count=6):
    generator = torch.Generator().manual_seed(3)
    return torch.stack([torch.randperm(16, generator=generator)[:count] for _ in range(2)])


@pytest.mark.parametrize("name", WORKS)
@torch.no_grad()
def test_features_are_timms_and_padding_and_order_change_nothing(name, distance):
    theirs, ours, image = pair(name)
    whole = ours(image)
    assert distance(whole, theirs.forward_features(image)) < 1e-5
    order = kept(16)
    shuffled = ours.encode(ours.embed(image, order[:, None])[:, 0], order)
    R = ours.prefix
    assert distance(shuffled[:, R:], take(whole[:, R:], order[:, None])[:, 0]) < 1e-5
    index = kept()
    tokens = ours.embed(image, index[:, None])[:, 0]
    alone = ours.encode(tokens, index)
    padded = (
        torch.cat([tokens, torch.randn(2, 3, ours.width)], 1),
        torch.cat([index, index[:, :3]], 1),
    )
    valid = torch.arange(9).expand(2, -1) < 6
    assert distance(ours.encode(*padded, valid)[:, : R + 6], alone) < 1e-5


@pytest.mark.parametrize("name", WORKS)
@torch.no_grad()
def test_attention_is_the_one_that_the_block_used_or_is_refused(name):
    _, ours, image = pair(name)
    entering, leaving = ours.encode_blocks(ours.embed(image), [ours.depth - 1, ours.depth])
    block = ours.blocks[-1]
    if name in ONE_SUM:
        with pytest.raises(ValueError, match="at once; choose an encoder"):
            ours.block_update(entering)
    else:
        middle = entering + ours.block_update(entering)
        beyond = block.norm2(block.mlp(middle)) if "rpn" in name else block.mlp(block.norm2(middle))
        for scale in ("ls2", "gamma_2"):
            gamma = getattr(block, scale, None)
            beyond = (
                gamma(beyond) if callable(gamma) else beyond if gamma is None else gamma * beyond
            )
        assert torch.allclose(middle + beyond, leaving, atol=1e-4)
    if name in SEVERAL_MAPS:
        with pytest.raises(ValueError, match="which is no one map"):
            ours.attention(image)
        return
    rows = ours.attention(image, [0, 3])
    assert rows.shape == (2, ours.heads, 2, ours.prefix + 16)
    assert torch.allclose(rows.sum(-1), torch.ones(2, ours.heads, 2), atol=1e-5)
    assert torch.allclose(
        rows, ours.block_attention(entering, dtype=torch.float64)[:, :, [0, 3]], atol=1e-5
    )


@torch.no_grad()
def test_the_attention_shown_gives_the_update():
    """Applied to the values and projected it is what the block adds: rotations and all."""
    _, ours, image = pair(V3)
    (entering,) = ours.encode_blocks(ours.embed(image), [1])
    attend = ours.blocks[1].attn
    value = (
        attend.qkv(ours.blocks[1].norm1(entering))
        .unflatten(-1, (3, 4, 12))[:, :, 2]
        .transpose(1, 2)
    )
    mixed = attend.proj((ours.block_attention(entering) @ value).transpose(1, 2).flatten(2))
    assert torch.allclose(ours.blocks[1].gamma_1 * mixed, ours.block_update(entering), atol=1e-5)


@pytest.mark.parametrize(("name", "said"), REFUSED.items())
def test_what_cannot_be_split_is_refused_by_name_in_one_line(name, said):
    with pytest.raises(ValueError, match=said) as refusal:
        TimmViT(name, 64)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heads": 5}, "width=48, heads=5; the heads must divide the width"),
        ({"name": "vit_base_patch16_sapiens2"}, "timm cannot build"),
        ({"image_size": 60}, "not divisible by patch_size=16"),
        ({"image_size": (64, 40)}, "not divisible by patch_size=16"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused_in_one_line(changes, said):
    with pytest.raises(ValueError, match=said) as refusal:
        TimmViT(**{"name": V3, "image_size": 64, **SMALL, **changes})
    assert "\n" not in str(refusal.value)


def test_nothing_is_downloaded_and_no_weights_are_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "mim.encoder.timm_model._CREATE",
        lambda *_, **how: asked.append(how) or timm.create_model(V3, depth=1),
    )
    TimmViT(f"{V3}.lvd1689m", 256)
    assert [how["pretrained"] for how in asked] == [False]


@pytest.mark.parametrize("of", ["v2", "v3"])
def test_published_numbers_on_all_patches_and_on_some(of, golden, distance):
    reference = golden("timm_subset")
    about = reference.meta["models"][of]
    sizes = {"width": about["embed_dim"], "depth": about["depth"], "heads": about["num_heads"]}
    encoder = TimmViT(about["model"], about["img_size"], **sizes)
    encoder.load_state_dict(reference.under(f"{of}.sd."))
    image, index = reference[f"{of}.images"], reference[f"{of}.ids_keep"]
    full = encoder.encode_blocks(encoder.embed(image), [0, 1, 2, 3])
    for name, tokens in zip(("embed", "block.0", "block.1", "block.2"), full, strict=True):
        assert distance(tokens, reference[f"{of}.full.{name}"]) < 2e-5
    assert distance(encoder(image), reference[f"{of}.full.norm"]) < 2e-5
    tokens = encoder.embed(image, index[:, None])[:, 0]
    some = encoder.encode_blocks(tokens, [0, 1, 2, 3], index)
    for name, each in zip(("embed", "block.0", "block.1", "block.2"), some, strict=True):
        assert distance(each, reference[f"{of}.subset.{name}"]) < 2e-5
    out = encoder.encode(tokens, index)
    assert distance(out, reference[f"{of}.subset.norm"]) < 2e-5
    (out * reference[f"{of}.w_out"]).sum().backward()
    for name, gradient in reference.under(f"{of}.grad.").items():
        assert distance(dict(encoder.named_parameters())[name].grad, gradient) < 1e-4


def test_hidden_patches_are_not_computed():
    """Of six patches out of sixteen, six go through the projection and six, with the prefix,
    through the blocks.
    """
    _, ours, image = pair(V3)
    seen = []
    ours.blocks[0].register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    image.requires_grad_()
    index = kept()
    ours.encode(ours.embed(image, index[:, None])[:, 0], index).sum().backward()
    assert seen == [5 + 6]
    reached = (
        image.grad.abs().sum(1).unfold(1, 16, 16).unfold(2, 16, 16).sum((-1, -2)).flatten(1) > 0
    )
    assert [row.nonzero().flatten().tolist() for row in reached] == [
        sorted(row) for row in index.tolist()
    ]


def test_a_mask_token_has_its_position_and_weights_are_decayed_as_timm_says():
    _, ours, _ = pair(V2)
    token, index = ours.new_token(), kept()[:, None]
    placed = ours.position_token(token, index)
    assert torch.allclose(placed - token, ours.pos_embed[0][index], atol=1e-6)
    assert ours.no_weight_decay() == {"cls_token", "reg_token", "pos_embed"}
    rotary = pair(V3)[1]
    assert torch.equal(rotary.position_token(token, index), token.expand(2, 1, 6, 48))
    mixed = TimmViT("vit_base_patch16_rope_mixed_224", 64, **SMALL)
    assert "rope.freqs" in mixed.no_weight_decay()


def test_half_precision_and_oblong_images_go_through():
    encoder = TimmViT(V3, (64, 32), **SMALL)
    assert encoder.geometry.grid == (4, 2)
    image = torch.randn(2, 3, 64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        index = kept()[:, :4] % 8
        valid = torch.tensor([[True, True, True, False]] * 2)
        out = encoder.encode(encoder.embed(image, index[:, None])[:, 0], index, valid)
        rows = encoder.attention(image, [0])
    assert out.isfinite().all()
    assert rows.dtype == torch.float32
