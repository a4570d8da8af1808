"""UPerNet on MAE's segmentation backbone, with the weights of mmsegmentation 1.2.2."""

import pytest
import torch

from mim.dense import DenseBatch
from mim.encoder.beit import Beit
from mim.head.segmenter import Segmenter
from mim.head.upernet import UPerNet, resized

NAMES = {
    "backbone.patch_embed.projection": "encoder.patch_embed.proj",
    "backbone.layers": "encoder.blocks",
    ".ln1": ".norm1",
    ".ln2": ".norm2",
    ".ffn.layers.0.0": ".mlp.fc1",
    ".ffn.layers.1": ".mlp.fc2",
    "backbone.": "encoder.",
    "neck.upsample_4x": "head.neck.levels.0",
    "neck.upsample_2x": "head.neck.levels.1",
    "decode_head.conv_seg": "head.classify.1",
    "auxiliary_head.conv_seg": "head.auxiliary.2",
    "auxiliary_head.convs.0": "head.auxiliary.0",
    "decode_head.psp_modules": "head.pooled",
    ".1.conv": ".conv",
    ".1.bn": ".bn",
    "decode_head.lateral_convs": "head.lateral",
    "decode_head.fpn_convs": "head.smooth",
    "decode_head.fpn_bottleneck": "head.fuse",
    "decode_head.bottleneck": "head.bottleneck",
}


def ours(name: str) -> str:
    for theirs, mine in NAMES.items():
        if theirs in (".1.conv", ".1.bn") and "head.pooled" not in name:
            continue
        name = name.replace(theirs, mine)
    return name.replace(".conv.", ".0.").replace(".bn.", ".1.")


def segmenter_of(reference) -> Segmenter:
    m = reference.meta
    encoder = Beit(
        tuple(m["img_size"]),
        m["patch_size"],
        m["embed_dims"],
        m["num_layers"],
        m["num_heads"],
        "absolute_and_block_bias",
        m["mlp_ratio"],
        m["init_values"],
    )

    def head(**sizes):
        return UPerNet(
            **sizes,
            width=m["channels"],
            auxiliary_width=m["auxiliary_channels"],
            dropout=m["dropout"],
        )

    model = Segmenter(encoder, head, m["num_classes"], [number + 1 for number in m["out_indices"]])
    given = {}
    for name, value in reference.under("sd.").items():
        # a key bias changes no attention: softmax does not see what all keys share
        if name.endswith("qkv.bias"):
            query, _, shift = value.chunk(3)
            stem = ours(name).removesuffix("qkv.bias")
            given |= {f"{stem}q_bias": query, f"{stem}v_bias": shift}
        elif not name.endswith("relative_position_index"):
            given[ours(name)] = value
    lacks, surplus = model.load_state_dict(given, strict=False)
    assert all(
        n in ("encoder.norm.weight", "encoder.norm.bias") or "num_batches" in n for n in lacks
    ), lacks
    assert not surplus
    return model


def close(a, b, limit):
    assert a.shape == b.shape
    assert (a - b).abs().max() <= limit * b.abs().max()


def batch_of(reference) -> DenseBatch:
    number = torch.arange(len(reference["images"]))
    size = torch.tensor([reference.meta["img_size"]] * len(number))
    return DenseBatch(reference["images"], reference["labels"], (), size, number, number)


def test_maps_scores_and_segmentation_are_mmsegmentations(golden):
    reference = golden("upernet")
    model = segmenter_of(reference).eval()
    with torch.no_grad():
        maps = model.maps(reference["images"])
        for number, tokens in enumerate(maps):
            close(tokens, reference[f"eval.tap{number}"], 2e-5)
        (_, scores), (_, auxiliary) = model.head.with_auxiliary(maps)
        close(scores, reference["eval.logits"], 2e-5)
        close(auxiliary, reference["eval.auxiliary_logits"], 2e-5)
        found = model.losses(batch_of(reference))
        assert found["segment"].item() == pytest.approx(reference["eval.loss_f64"].item(), rel=1e-5)
        assert found["auxiliary"].item() == pytest.approx(
            reference["eval.auxiliary_loss_f64"].item(), rel=1e-5
        )
        segmentation = model.segment(reference["images"]).argmax(dim=1)
        assert torch.equal(segmentation.byte(), reference["eval.segmentation"])


def test_training_losses_and_gradients_are_mmsegmentations(golden):
    reference = golden("upernet")
    model, m = segmenter_of(reference).train(), reference.meta
    found = model.losses(batch_of(reference))
    assert found["segment"].item() == pytest.approx(reference["train.loss_f64"].item(), rel=1e-5)
    assert found["auxiliary"].item() == pytest.approx(
        reference["train.auxiliary_loss_f64"].item(), rel=1e-5
    )
    sum(found.values()).backward()
    weights = dict(model.named_parameters())
    checked = reference.under("train.grad.")
    # Zero in theory: batch norm behind the lateral convolution takes away what all pixels of a
    # channel share.
    checked.pop("neck.upsample_4x.3.bias", None)
    checked = {
        name: gradient
        for name, gradient in checked.items()
        if name not in m["gradient_zero_in_theory"]
    }
    assert checked
    for name, gradient in checked.items():
        close(weights[ours(name)].grad, gradient, 1e-4)


def test_windows_of_a_larger_image_agree_where_they_do_not_overlap(golden):
    reference = golden("upernet")
    model = segmenter_of(reference).eval()
    with torch.no_grad():
        side_by_side = torch.cat([*reference["images"][:, None]], dim=-1)  # (1, 3, H, B W)
        both = model.segment(side_by_side, stride=1.0)
        each = resized(model(reference["images"]), model.image_size)
    close(both, torch.cat([*each[:, None]], dim=-1), 1e-6)


def test_a_small_image_is_segmented_as_if_padded(golden):
    reference = golden("upernet")
    model = segmenter_of(reference).eval()
    image = reference["images"].clone()
    image[..., 40:, :], image[..., 50:] = 0, 0
    with torch.no_grad():
        close(model.segment(image[..., :40, :50]), model.segment(image)[..., :40, :50], 1e-6)


def test_blocks_that_do_not_go_with_the_head_are_refused(golden):
    encoder = Beit(16, 8, 24, 2, 4, "absolute")
    with pytest.raises(ValueError, match="looks at 4 blocks and Beit has 2"):
        Segmenter(encoder, UPerNet, 7)
    with pytest.raises(ValueError, match="are 3 and the head looks at 4"):
        Segmenter(encoder, UPerNet, 7, [1, 2, 2])
    with pytest.raises(ValueError, match="block=5 of Beit cannot be looked at"):
        Segmenter(encoder, UPerNet, 7, [1, 2, 2, 5])
