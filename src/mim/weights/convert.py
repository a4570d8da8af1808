"""Write weights for others: timm, the official MAE, Hugging Face, or plain safetensors."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mim.geometry import pair
from mim.image_format import ImageFormat
from mim.plain import Settings, printable
from mim.ranges import Size
from mim.weights.architecture import TIMM_VIT, of_tensors
from mim.weights.build import encoder_config
from mim.weights.hugging_face import hugging_face_config, to_hugging_face
from mim.weights.images import image_format
from mim.weights.model import shown_target, with_one_decoder
from mim.weights.official_mae import to_official
from mim.weights.said_size import with_image_size
from mim.weights.sizes import HEADS, guess_heads
from mim.weights.to_timm import in_timm, published_pool
from mim.weights.weights import Weights


def write(
    weights: Weights,
    out: Path,
    to: str,
    heads: int | None = None,
    decoder_heads: int | None = None,
    image_size: Size | None = None,
) -> str:
    """Write weights in another format, and return lines about what was written and how to load it.

    Args:
        weights: what to write.
        out: a file, or for "hf" a folder; must not exist yet.
        to: one of `WRITERS`.
        heads, decoder_heads: attention heads, where neither the weights nor their widths tell.
        image_size: that their positions are of, where nothing in them says it.

    Raises:
        ValueError: where there is something at `out`, or the format cannot hold these weights.
    """
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere")
    weights = weights._replace(
        heads=heads or weights.heads, decoder_heads=decoder_heads or weights.decoder_heads
    )
    weights = with_image_size(weights, image_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    return WRITERS[to](weights, out)


def _to_timm(weights: Weights, out: Path) -> str:
    tensors, model = in_timm(weights)
    # what tensors do not tell those who read it here
    about = {"images": image_format(weights).to_plain(), "config": _encoder_alone(weights)}
    if out.suffix == ".safetensors":
        metadata = {name: json.dumps(value) for name, value in about.items() if value}
        save_file(contiguous(tensors), out, metadata={"format": "pt"} | metadata)
    else:
        torch.save({"state_dict": tensors} | {k: v for k, v in about.items() if v}, out)
    return _report(out, tensors, f"import timm; {model.loading(out)}")


def _to_mae(weights: Weights, out: Path) -> str:
    _refuse_all_but_vit(weights, "the official MAE")
    weights = with_one_decoder(weights)
    tensors = {
        to_official(name): value for name, value in weights.tensors.items() if _is_of_mae(name)
    }
    if published_pool(weights, "ViT"):
        tensors |= {
            name: value
            for name, value in weights.tensors.items()
            if name.startswith(("head.", "fc_norm."))
        }
    torch.save({"model": tensors, "images": image_format(weights).to_plain()}, out)
    halves = (
        "both halves"
        if "decoder_embed.weight" in tensors
        else "the encoder only: there is no decoder of an MAE"
    )
    halves = "a classifier of models_vit" if "head.weight" in tensors else halves
    return _report(
        out,
        tensors,
        f'model.load_state_dict(torch.load("{out}", weights_only=True)["model"])  # {halves}',
    )


def _to_hugging_face(weights: Weights, out: Path) -> str:
    _refuse_all_but_vit(weights, "Hugging Face's ViTMAE")
    weights = with_one_decoder(weights)
    if "decoder.predict.weight" not in weights.tensors:
        raise ValueError(
            f"{weights.origin} holds no decoder of an MAE, and ViTMAEForPreTraining has one; --to "
            "timm writes the encoder"
        )
    ours = {name: value for name, value in weights.tensors.items() if _is_of_mae(name)}
    decoder_heads = weights.decoder_heads or (
        weights.setting("model.decoder.heads", int, 0) or None
    )
    config = hugging_face_config(
        ours,
        heads=encoder_config(weights, heads=weights.heads)["heads"],
        decoder_heads=guess_heads(
            ours["decoder.embed.weight"].shape[0], decoder_heads, "--decoder-heads"
        ),
        mask_ratio=weights.setting("masker.partition.ratio", float, 0.75),
        normalise=weights.setting(f"{shown_target(weights) or 'loss'}.normalise", bool, True),
    )
    tensors = to_hugging_face(ours)
    out.mkdir()
    save_file(contiguous(tensors), out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    processor = _processor(image_format(weights), config["image_size"])
    (out / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    return _report(
        out,
        tensors,
        "from transformers import ViTMAEForPreTraining; model = "
        f'ViTMAEForPreTraining.from_pretrained("{out}")',
    )


def _to_safetensors(weights: Weights, out: Path) -> str:
    metadata = {"format": "pt", "images": json.dumps(image_format(weights).to_plain())}
    config = weights.config or _encoder_alone(weights)
    metadata |= {"config": json.dumps(config)} if config else {}
    save_file(contiguous(weights.tensors), out, metadata=metadata)
    return _report(out, weights.tensors, f"python train.py checkpoint={out}")


WRITERS: dict[str, Callable[[Weights, Path], str]] = {
    "timm": _to_timm,
    "mae": _to_mae,
    "hf": _to_hugging_face,
    "safetensors": _to_safetensors,
}


QKV_BIAS = "blocks.0.attn.qkv.bias"
PLAIN = re.compile(
    r"cls_token|pos_embed|((patch_embed\.proj|norm"
    r"|blocks\.\d+\.(norm[12]|attn\.(qkv|proj)|mlp\.fc[12]))\.(weight|bias))"
)
"""Names of tensors of a plain ViT."""


def _is_of_mae(name: str) -> bool:
    """Encoder and decoder, without the head of a classifier or the predictor of a SimMIM."""
    return name.startswith("encoder.") or (
        name.startswith("decoder.") and name not in ("decoder.weight", "decoder.bias")
    )


def _refuse_all_but_vit(weights: Weights, whom: str) -> None:
    target = weights.setting("encoder._target_", str, "") or (weights.architecture or {}).get(
        "_target_", ""
    )
    timms = TIMM_VIT if of_tensors(weights.half(encoder=True), weights.heads) else ""
    other = (target or timms) not in ("", "mim.encoder.vit.ViT")
    if other or f"encoder.{QKV_BIAS}" not in weights.tensors:
        raise ValueError(
            f"{weights.origin} is no plain ViT{_odd(weights.half(encoder=True))}, and {whom} is; "
            "--to timm writes all others"
        )
    said = (weights.config or {}).get("encoder", {})
    for name in ("image_size", "patch_size"):
        height, width = pair(said.get(name) or 1)
        if height != width:
            raise ValueError(
                f"{weights.origin} has encoder.{name}=[{height},{width}], and of {whom} it is "
                "square; --to timm writes it"
            )


def _encoder_alone(weights: Weights) -> Settings:
    """Config of an encoder of which tensors do not tell all: a transformer of timm, one of oblong
    images, or of heads that its width does not tell; empty of another.
    """
    if not (weights.architecture or (weights.config or {}).get("encoder")):
        return {}
    config = encoder_config(weights, heads=weights.heads)
    height, width = pair(config.get("image_size") or 1)
    told = config.get("heads") == HEADS.get(config.get("width", 0))
    is_plain = config["_target_"] != TIMM_VIT and height == width and told
    return {} if is_plain else {"encoder": config}


def _odd(encoder: Mapping[str, Tensor]) -> str:
    """Names of tensors that a plain ViT has not, and of those that it has and are not there."""
    more = dict.fromkeys(
        re.sub(r"blocks\.\d+\.", "blocks.*.", name) for name in encoder if not PLAIN.fullmatch(name)
    )
    less = [name for name in ("cls_token", "pos_embed", QKV_BIAS) if name not in encoder]
    said = [f"it has {', '.join([*more][:4])}"] if more else []
    said += [f"it lacks {', '.join(less)}"] if less else []
    return f" ({printable('; '.join(said), 200)})" if said else ""


def _processor(images: ImageFormat, size: int) -> Settings:
    """Settings of transformers' `ViTImageProcessor`: it resizes to a square and cuts nothing
    out.
    """
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 3 if images.interpolation == "bicubic" else 2,  # Pillow's numbers
        "do_normalize": True,
        "image_mean": list(images.mean),
        "image_std": list(images.std),
    }


def contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors stores them."""
    return {name: value.contiguous() for name, value in tensors.items()}


def _report(out: Path, tensors: dict[str, Tensor], load: str) -> str:
    numbers = sum(value.numel() for value in tensors.values())
    return (
        f"{'wrote':<14}{out}: {len(tensors)} tensors, {numbers:,} numbers\n{'load with':<14}{load}"
    )
