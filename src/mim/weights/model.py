"""Model that pre-trained weights are of, with the decoder whose predictions are pixels, and what
shows them as pixels.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Literal

from mim.geometry import Geometry
from mim.masker.any_masker import AnyMasker
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.query_decoder import QueryDecoder
from mim.model.simmim import SimMIM
from mim.ranges import Size
from mim.target.frequency import Frequency
from mim.target.pixel import Pixel
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.sizes import guess_heads
from mim.weights.weights import Weights

Target = Literal["normalised", "raw"]

# As runs name them: targets, and what terms and losses of earlier runs were called.
PIXEL = {"mim.loss.term.Pixel", "mim.target.pixel.Pixel", "mim.loss.pixel.Pixel"}
FREQUENCY = {
    "mim.loss.term.Frequency",
    "mim.target.frequency.Frequency",
    "mim.loss.frequency.Frequency",
}


def open_model(weights: Weights, masker: AnyMasker, image_size: Size | None = None) -> MAE | SimMIM:
    """Model of pre-trained weights, in eval mode; sizes are read off the tensors, and nothing that
    a file names is called.

    Args:
        weights: with a decoder: of a run, the official MAE (both halves) or SimMIM, or Hugging
            Face's ViTMAE.
        masker: decides what the model sees; it need not be the one that it was trained with.
        image_size: pixels per side, or (height, width), where not those of the training.

    Raises:
        ValueError: where the weights have no decoder, or not the whole of it.
    """
    if "regressor.mask_token" in weights.tensors:
        raise ValueError(
            f"{weights.origin} regresses latents before it decodes them (CAE), and its encoder "
            "alone is opened; give a run of model=mae or simmim"
        )
    weights = with_one_decoder(weights)
    tensors = weights.tensors
    if (
        "decoder.predict.weight" not in tensors
        and not {"decoder.weight", "mask_token"} <= tensors.keys()
    ):
        raise ValueError(
            f"{weights.origin} has no decoder, so it reconstructs nothing; give a run of "
            "pre-training, or weights with both "
            "halves, e.g. mae_visualize_vit_base.pth"
        )
    encoder = build_encoder(weights, image_size)
    model: MAE | SimMIM
    if "decoder.predict.weight" in tensors:
        decoder = (
            _query_decoder(weights, encoder.depth)
            if "decoder.weigh.weight" in tensors
            else _decoder(weights)
        )
        model = MAE(
            encoder, masker, decoder, {"prediction": len(tensors["decoder.predict.weight"])}
        )
    else:
        model = SimMIM(encoder, masker, {"prediction": len(tensors["decoder.weight"])})
    lacks = [
        name
        for name in model.state_dict()
        if not name.startswith("encoder.") and name not in tensors
    ]
    if lacks:
        raise ValueError(
            f"{weights.origin} does not hold the whole decoder: it lacks {', '.join(lacks[:3])}"
        )
    load_weights_into(weights, model)
    return model.eval()


def with_one_decoder(weights: Weights) -> Weights:
    """Weights with one decoder, as `decoder`: of several the first whose predictions can be shown
    as pixels.
    """
    _, is_term, name = (shown_target(weights) or "").removesuffix(".target").partition("loss.term.")
    chosen = f"decoders.{name}."
    if not is_term or not any(each.startswith(chosen) for each in weights.tensors):
        chosen = "decoder."
    kept = {
        each: value
        for each, value in weights.tensors.items()
        if not each.startswith(("decoder.", "decoders."))
    }
    own = {each: value for each, value in weights.tensors.items() if each.startswith(chosen)}
    return weights._replace(
        tensors=kept | {f"decoder.{each.removeprefix(chosen)}": own[each] for each in own}
    )


def shown_target(weights: Weights) -> str | None:
    """Where the config of a run has the first target whose predictions can be shown as pixels; None
    where it has none.

    `loss`, `loss.target`, `loss.term.pixel` or `loss.term.pixel.target`.
    """
    losses = ("loss", *(f"loss.term.{name}" for name in weights.setting("loss.term", dict, {})))
    nodes = (node for loss in losses for node in (loss, f"{loss}.target"))
    return next(
        (
            node
            for node in nodes
            if weights.setting(f"{node}._target_", str, "") in PIXEL | FREQUENCY
        ),
        None,
    )


def _decoder(weights: Weights) -> Callable[..., Decoder]:
    """Builds the decoder that weights are of."""
    tensors = weights.tensors
    width = len(tensors["decoder.embed.weight"])
    heads = weights.decoder_heads or weights.setting("model.decoder.heads", int, 0) or None
    return partial(
        Decoder,
        width=width,
        depth=sum(
            re.fullmatch(r"decoder\.blocks\.\d+\.norm1\.weight", name) is not None
            for name in tensors
        ),
        heads=guess_heads(width, heads, "--decoder-heads of reconstruct, or a run of ours"),
        mlp_ratio=len(tensors["decoder.blocks.0.mlp.fc1.weight"]) / width,
    )


def _query_decoder(weights: Weights, encoder_depth: int) -> Callable[..., QueryDecoder]:
    """Builds the decoder of CrossMAE that weights of a run are of."""
    tensors = weights.tensors
    (depth, blocks), width = (
        tensors["decoder.weigh.weight"].shape,
        tensors["decoder.mask_token"].shape[-1],
    )
    return partial(
        QueryDecoder,
        encoder_depth=encoder_depth,
        width=width,
        depth=depth,
        heads=guess_heads(
            width,
            weights.setting("model.decoder.heads", int, 0) or None,
            "a run of ours, which says it",
        ),
        mlp_ratio=len(tensors["decoder.blocks.0.mlp.fc1.weight"]) / width,
        blocks=None
        if blocks == encoder_depth + 1
        else weights.setting("model.decoder.blocks", list, []),
        self_attention="decoder.blocks.0.attn.query.weight" in tensors,
    )


def open_painter(
    weights: Weights, geometry: Geometry, otherwise: Target | None = None
) -> Pixel | Frequency:
    """Target of the training, whose `to_pixels` shows predictions as pixels.

    Args:
        weights: of a run, which says what it predicts, or of anyone.
        geometry: of the images.
        otherwise: what is predicted, where the weights do not say: standardised patches or pixels
            as they are. None: as published, standardised for MAE, raw for SimMIM.

    Raises:
        ValueError: where what was predicted is no pixels.
    """
    if "loss" not in (weights.config or {}):
        raw = "decoder.weight" in weights.tensors if otherwise is None else otherwise == "raw"
        return Pixel(geometry, normalise=not raw)
    node = shown_target(weights)
    if node is None:
        raise ValueError(
            f"{weights.origin} was trained to predict no pixels, so its predictions are no "
            "picture; loss=pixel or frequency"
        )
    normalise, keep = (
        weights.setting(f"{node}.normalise", bool, True),
        weights.setting(f"{node}.keep", int, 0),
    )
    if weights.setting(f"{node}._target_", str, "") in PIXEL:
        return Pixel(geometry, normalise)
    return Frequency(geometry, keep or None, normalise)
