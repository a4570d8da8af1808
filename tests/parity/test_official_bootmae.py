"""BootMAE against LightDXY/BootMAE @ d604b18: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.vit import ViT
from mim.loss.neighbour_term import NeighbourTerm, masked_around
from mim.loss.term import Term
from mim.masker.split import Split
from mim.model.bootmae import BootMAE
from mim.model.cross_decoder import CrossDecoder
from mim.target.channel_pixel import ChannelPixel
from mim.target.features import Features
from mim.teacher.ema import EMA
from mim.tokens import patchify, take

DECODERS = {"pixel": ("decode_blocks.", "mask_token", "down.", "decode_norm.", "de_pos_embed")}
DECODERS["feature"] = ("decode_blocks_1.", "mask_token_1", "down_1.", "decode_norm_1.", "pos_embed")


class Given(nn.Module):
    """The patches that the release's order leaves visible, and those that follow."""

    needs_tokens = False

    def forward(self, batch, grid, tokens=None):
        visible = self.order.shape[1] - self.masked
        return Split(self.order[:, None, :visible], self.order[:, None, visible:])


def fitted(term, case):
    """A term that knows the images."""
    term.fit(case.model.encoder.geometry)
    return term


def attention(tensors, prefix, ours):
    """Their products and biases of one attention -> ours."""
    found = {}
    for name, value in tensors.items():
        if name == f"{prefix}qkv.weight":
            found |= {
                f"{ours}{part}.weight": each
                for part, each in zip(("query", "key", "value"), value.chunk(3), strict=True)
            }
        elif name == f"{prefix}kv.weight":
            found |= {
                f"{ours}{part}.weight": each
                for part, each in zip(("key", "value"), value.chunk(2), strict=True)
            }
        elif name.startswith(prefix):
            last = name.removeprefix(prefix)
            last = {"q.weight": "query.weight", "q_bias": "query.bias", "v_bias": "value.bias"}.get(
                last, last
            )
            found[ours + last] = value
    return found


def decoder_of(tensors, name, patch_size):
    """A decoder of theirs under the names of ours."""
    blocks, token, down, norm, positions = DECODERS[name]
    renamed = {}
    for key, value in tensors.items():
        if key == token:
            renamed["mask_token"] = value
        elif key == positions:
            renamed["pos_embed"] = value
        elif key.startswith((down, norm)):
            renamed[key.replace(down, "embed.").replace(norm, "norm.")] = value
        elif key.startswith(blocks) and "attn." not in key:
            renamed[key.replace(blocks, "blocks.")] = value
        elif key.startswith(blocks):
            number, which, _ = key.removeprefix(blocks).split(".", 2)
            own = {"attn": "attn", "c_attn": "cross"}[which]
            renamed |= attention(
                {key: value}, f"{blocks}{number}.{which}.", f"blocks.{number}.{own}."
            )
    # a transposed convolution (D, 3, p, p), a bias a channel
    if name == "pixel" and "lm_head.proj.weight" in tensors:
        renamed["predict.weight"] = tensors["lm_head.proj.weight"].permute(2, 3, 1, 0).flatten(0, 2)
        renamed["predict.bias"] = tensors["lm_head.proj.bias"].repeat(patch_size**2)
    elif name == "feature":
        renamed |= {
            f"predict.{k}": v
            for k in ("weight", "bias")
            if (v := tensors.get(f"lm_head_1.{k}")) is not None
        }
    return renamed


def encoder_of(tensors):
    """The encoder of theirs under timm's names; a key bias of zero."""
    names = ("cls_token", "pos_embed", "patch_embed.", "blocks.", "norm.")
    found = {
        name: value
        for name, value in tensors.items()
        if name.startswith(names) and "_bias" not in name
    }
    for name in [
        n
        for n in tensors
        if n.startswith("blocks.") and n.endswith("q_bias") and n.replace("q_b", "v_b") in tensors
    ]:
        query, value = tensors[name], tensors[name.replace("q_bias", "v_bias")]
        found[name.replace("q_bias", "qkv.bias")] = torch.cat(
            [query, torch.zeros_like(query), value]
        )
    return found


@pytest.fixture
def case(golden, batch_of):
    reference = golden("bootmae")
    m, tensors = reference.meta, reference.under("sd.")
    patch, masker = m["patch_size"], Given()
    masker.order, masker.masked = reference["idx_shuffle"], m["mask_len"]
    assert m["fea_list"] == [0, m["depth"] - 1]
    sizes = {"depth": m["decoder_depth"], "heads": m["num_heads"], "mlp_ratio": m["mlp_ratio"]}
    decoders = {"pixel": partial(CrossDecoder, width=m["decode_dim"], **sizes)}
    decoders["feature"] = partial(CrossDecoder, width=m["embed_dim"], **sizes)
    encoder = ViT(m["img_size"], patch, m["embed_dim"], m["depth"], m["num_heads"], m["mlp_ratio"])
    dims = {"pixel": 3 * patch**2, "feature": None}
    model = BootMAE(encoder, masker, decoders, {"pixel": 1, "feature": None}, dims)
    model.encoder.load_state_dict(encoder_of(tensors))
    for name, decoder in model.decoders.items():
        decoder.load_state_dict(decoder_of(tensors, name, patch))
    terms = {
        "pixel": (ChannelPixel(encoder.geometry), "l2"),
        "feature": (Features(1, [], []), "normalised_l2"),
    }
    image = reference["images"]
    return SimpleNamespace(
        reference=reference,
        model=model,
        image=image,
        patch=patch,
        terms=terms,
        made=model(batch_of(image)),
        teacher=EMA(model),
    )


def test_predictions_are_official(case, distance):
    predictions, split = case.made.predictions, case.made.split
    pixels = take(patchify(case.reference["pred_pixels"], case.patch), split.masked)
    assert distance(predictions["pixel"], pixels) < 2e-5
    assert (
        distance(predictions["feature"], take(case.reference["pred_features"], split.masked)) < 2e-5
    )


def test_targets_and_weights_are_official(case, distance):
    split = case.made.split
    (pixel, _), (feature, _) = case.terms.values()
    expected = take(patchify(case.reference["im_norm"], case.patch), split.masked)
    assert distance(pixel(case.image, split), expected) < 2e-5
    expected = take(case.reference["feature_target"], split.masked)
    assert distance(feature(case.image, split, case.teacher), expected) < 2e-5
    weight = case.reference["weight_mask"].flatten(1)[..., None]  # 0 where nothing is masked
    assert (
        distance(
            1 + masked_around(split, case.model.encoder.geometry.grid),
            take(weight, split.masked)[..., 0],
        )
        < 1e-6
    )
    painted = pixel.to_pixels(pixel(case.image, split), case.image, split.masked)
    assert distance(painted, take(patchify(case.image, case.patch), split.masked)) < 2e-5


def test_losses_and_gradients_are_official(case, distance):
    losses = {}
    for name, (target, error) in case.terms.items():
        for suffix, term in (
            ("", NeighbourTerm(target, error)),
            ("_unweighted", Term(target, error)),
        ):
            loss = fitted(term, case)(
                case.made.predictions[name], case.image, case.made.split, case.teacher
            )
            assert loss.item() == pytest.approx(
                case.reference[f"loss_{name}{suffix}"].item(), rel=1e-5
            )
            losses[name + suffix] = loss
    (losses["pixel"] + losses["feature"]).backward()
    theirs = case.reference.under("grad.")
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    bias = gradient.pop("decoders.pixel.predict.bias").unflatten(0, (-1, 3)).sum(0)
    assert distance(bias, theirs.pop("lm_head.proj.bias")) < 1e-4
    seen = {"encoder." + name: value for name, value in encoder_of(theirs).items()}
    expected = {name: value for name, value in seen.items() if name in gradient}
    for name in case.model.decoders:
        expected |= {
            f"decoders.{name}.{k}": v for k, v in decoder_of(theirs, name, case.patch).items()
        }
    assert len(expected) > 8
    for name, value in expected.items():
        if not name.endswith("qkv.bias"):
            assert distance(gradient[name], value) < 1e-4, name
    name = "encoder.blocks.0.attn.qkv.bias"
    assert distance(gradient[name].chunk(3)[0], theirs["blocks.0.attn.q_bias"]) < 1e-4
