"""The backbone and the pyramid of detectron2's ViTDet, with its weights
(facebookresearch/detectron2 @ 02b5c4e295e9).
"""

import pytest
import torch

from mim.encoder.vit import ViT
from mim.head.pyramid import SimplePyramid
from mim.head.windows import WindowedViT


def close(ours, theirs, limit):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= limit * theirs.abs().max()


def ours(name: str) -> str:
    for theirs, mine in (("attn.rel_pos_h", "rows"), ("attn.rel_pos_w", "columns")):
        if name.endswith(theirs):
            return f"relative.{name.split('.')[1]}.{mine}"
    return f"encoder.{name}"


def backbone_of(reference, relative: bool) -> WindowedViT:
    m = reference.meta
    encoder = ViT(
        m["pretrain_img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
    )
    blocks = [n + 1 for n in range(m["depth"]) if n not in m["window_block_indexes"]]
    backbone = WindowedViT(
        encoder, (m["img_size"], m["img_size"]), m["window_size"], blocks, relative
    )
    given = {
        ours(name): value
        for name, value in reference.under("sd.").items()
        if relative or "rel_pos" not in name
    }
    lacks, surplus = backbone.load_state_dict(given, strict=False)
    assert set(lacks) == {"encoder.cls_token", "encoder.norm.weight", "encoder.norm.bias"}
    assert not surplus
    return backbone


@pytest.mark.parametrize("case", ["rel.a", "rel.b", "abs.a", "abs.b"])
def test_the_feature_map_is_detectron2s(golden, case):
    reference = golden("vitdet_backbone")
    backbone = backbone_of(reference, case.startswith("rel"))
    image = reference[f"images.{case[-1]}"]
    features = backbone(image)
    close(features, reference[f"{case}.last_feat"], 2e-5)
    loss = (features * reference[f"probe.{case[-1]}"]).mean()
    assert loss.item() == pytest.approx(reference[f"{case}.loss_f64"].item(), rel=1e-5)
    for number, tokens in enumerate(backbone.maps(image)):
        if f"{case}.block{number}" in reference.arrays.files:
            close(tokens, reference[f"{case}.block{number}"], 2e-5)


@pytest.mark.parametrize("case", ["rel.a", "abs.a"])
def test_gradients_are_detectron2s(golden, case):
    reference = golden("vitdet_backbone")
    backbone = backbone_of(reference, case.startswith("rel"))
    (backbone(reference["images.a"]) * reference["probe.a"]).mean().backward()
    weights = dict(backbone.named_parameters())
    checked = reference.under(f"{case}.grad.")
    assert checked
    for name, gradient in checked.items():
        close(weights[ours(name)].grad, gradient, 1e-4)
    for name, norm in zip(
        reference.names(f"{case}.gradnorm_names"), reference[f"{case}.gradnorm"], strict=True
    ):
        if norm > 1e-7:
            assert weights[ours(name)].grad.norm().item() == pytest.approx(norm.item(), rel=2e-3), (
                name
            )


@pytest.mark.parametrize("case", ["a", "b"])
def test_the_pyramid_is_detectron2s(golden, case):
    reference = golden("vitdet_pyramid")
    pyramid = pyramid_of(reference)
    features = reference[f"features.{case}"].requires_grad_()
    levels = pyramid(features)
    for number, level in enumerate(levels, start=2):
        close(level, reference[f"{case}.p{number}"], 2e-5)
    probes = [reference[f"probe.{case}.p{number}"].float() for number in range(2, 7)]
    loss = sum((level * probe).mean() for level, probe in zip(levels, probes, strict=True))
    assert loss.item() == pytest.approx(reference[f"{case}.loss_f64"].item(), rel=1e-5)
    assert pyramid.strides(reference.meta["stride_of_features"]) == list(
        reference.meta["strides"].values()
    )
    if case == "a":
        loss.backward()
        close(features.grad, reference["a.grad_features"], 1e-4)
        named = dict(zip(reference.under("sd."), pyramid.parameters(), strict=True))
        for name, gradient in reference.under("a.grad.").items():
            close(named[name].grad, gradient, 1e-4)


def pyramid_of(reference) -> SimplePyramid:
    pyramid = SimplePyramid(reference.meta["dim"], reference.meta["out_channels"])
    for parameter, value in zip(pyramid.parameters(), reference.under("sd.").values(), strict=True):
        assert parameter.shape == value.shape
        parameter.data.copy_(value)
    return pyramid


def test_relative_positions_begin_by_changing_nothing():
    torch.manual_seed(0)
    encoder = ViT(32, 8, 16, 4, 2)
    image = torch.randn(1, 3, 40, 48)
    with_them, without = (
        WindowedViT(encoder, (32, 32), 3, 2, relative)(image) for relative in (True, False)
    )
    close(with_them, without, 1e-5)


def test_one_window_is_global_attention():
    """Of an image of one window, what attends within windows attends to everything."""
    torch.manual_seed(0)
    encoder = ViT(32, 8, 16, 4, 2)
    image = torch.randn(1, 3, 32, 32)
    close(
        WindowedViT(encoder, (32, 32), 4, 1, False)(image),
        WindowedViT(encoder, (32, 32), 4, 4, False)(image),
        1e-6,
    )


def test_global_blocks_are_the_last_of_equal_parts_as_published():
    # detectron2's configs of ViT-B, L and H
    published = {12: [2, 5, 8, 11], 24: [5, 11, 17, 23], 32: [7, 15, 23, 31]}
    for depth, numbers in published.items():
        backbone = WindowedViT(ViT(16, 8, 8, depth, 2), (16, 16), 2)
        assert [n for n, windowed in enumerate(backbone.windowed) if not windowed] == numbers


def test_what_cannot_be_windowed_is_refused():
    with pytest.raises(ValueError, match="global_blocks=3 does not divide the 4 blocks"):
        WindowedViT(ViT(32, 8, 16, 4, 2), (32, 32), 4, 3)
