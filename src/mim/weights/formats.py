"""Tell who wrote a checkpoint by the names of its tensors, and translate them into ours."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mim.weights import official_mae
from mim.weights.hugging_face import from_hugging_face
from mim.weights.official_simmim import from_bare, from_official_simmim
from mim.weights.prefixes import encoder_prefixes
from mim.weights.strangers import refuse_other_blocks

Tensors = Mapping[str, Tensor]


OTHER_TOKENS = {"register tokens": "reg_token", "a distillation token": "dist_token"}


class Format(NamedTuple):
    """A way to name tensors."""

    name: str
    sign: str
    """A tensor that every checkpoint of this format has, and none of those below it in the list; or, with
    a point at its end, how names of tensors begin."""
    translate: Callable[[Tensors], dict[str, Tensor]]


def _from_official_mae(tensors: Tensors) -> dict[str, Tensor]:
    return {official_mae.from_official(name): value for name, value in tensors.items()}


def _from_run(tensors: Tensors) -> dict[str, Tensor]:
    return {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}


FORMATS = [
    Format("a run of ours", "model.encoder.patch_embed.proj.weight", _from_run),
    Format("Hugging Face", "vit.embeddings.patch_embeddings.projection.weight", from_hugging_face),
    Format("Hugging Face", "embeddings.patch_embeddings.projection.weight", from_hugging_face),
    Format("official MAE", "decoder_embed.weight", _from_official_mae),
    Format("official SimMIM", "decoder.0.weight", from_official_simmim),
    Format("ours", "encoder.patch_embed.proj.weight", dict),
    Format("official SimMIM, fine-tuned Swin", "layers.0.downsample.norm.weight", from_official_simmim),
    Format("a bare encoder", "patch_embed.proj.weight", from_bare),  # timm's, or fine-tuned
    Format("a run of ours", "model.encoder.", _from_run),  # with an encoder of somebody's own
]


def translate(tensors: Tensors, file: str) -> tuple[dict[str, Tensor], str]:
    """Tensors under anyone's names -> under ours, and the format's name.

    Raises:
        ValueError: where no format is recognised.
    """
    tensors = {name.removeprefix("module.").replace("_orig_mod.", ""): value for name, value in tensors.items()}
    found = [] if any(form.sign in tensors for form in FORMATS) else encoder_prefixes(tensors)
    if found:
        under = {name.removeprefix(found[0]): value for name, value in tensors.items() if name.startswith(found[0])}
        ours, name = translate(under, file)
        return ours, f"{name} under {found[0]}" + (f", not {' or '.join(found[1:])}" if found[1:] else "")
    for form in FORMATS:
        if form.sign in tensors or (form.sign.endswith(".") and any(name.startswith(form.sign) for name in tensors)):
            if form.translate in (
                from_bare,
                from_official_simmim,
                from_hugging_face,
            ):  # not of a run, which brings its own
                refuse_other_blocks(tensors, file)
            ours = form.translate(tensors)
            if form.translate is from_bare:  # anyone's
                _check_tokens(ours, file)
            return ours, form.name
    first = ", ".join(list(tensors)[:3])
    raise ValueError(
        f"{file} holds no encoder that is known here: none of its {len(tensors)} tensors ({first}, ...) embeds patches; "
        "give a run, or weights of a ViT, BEiT or Swin from the official MAE or SimMIM, timm or Hugging Face (ViTMAE)"
    )


def teacher_of(tensors: Tensors, file: str | Path) -> dict[str, Tensor]:
    """Tensors of a run of ours -> those of its teacher, named as those of its model are.

    Raises:
        ValueError: where it has no teacher.
    """
    found = {
        f"model.{name.removeprefix('teacher.')}": value
        for name, value in tensors.items()
        if name.startswith("teacher.")
    }
    if not any(name.startswith("model.encoder.") for name in found):
        raise ValueError(
            f"{file} has no teacher; teacher:<checkpoint> is of a run that was trained with one (teacher=ema), give the "
            "checkpoint alone"
        )
    return found


def _check_tokens(tensors: Tensors, file: str) -> None:
    """Refuse what is not one cls token before the patches, each of them with a position."""
    positions = tensors.get("encoder.pos_embed")
    if positions is None:  # relative ones
        return
    others = [kind for kind, name in OTHER_TOKENS.items() if f"encoder.{name}" in tensors]
    if others:
        has = f"{' and '.join(others)} beside its patches"
    elif "encoder.cls_token" not in tensors:
        has = "no cls token"
    elif math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:  # those of a square of patches, and no other
        has = "a cls token without a position"
    else:
        return
    raise ValueError(
        f"{file} has {has}; an encoder here has one cls token, its patches and a position for each of them: choose such a "
        "ViT, e.g. timm:vit_small_patch16_224.dino"
    )
