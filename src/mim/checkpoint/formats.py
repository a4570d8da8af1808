"""Tell who wrote a checkpoint by the names of its tensors, and translate them into ours."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from mim.checkpoint import official_mae
from mim.checkpoint.hugging_face import from_hugging_face
from mim.checkpoint.official_simmim import from_bare, from_official_simmim

Tensors = Mapping[str, Tensor]


class Format(NamedTuple):
    """A way to name tensors."""

    name: str
    sign: str
    """A tensor that every checkpoint of this format has, and none of those below it in the list."""
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
]


def translate(tensors: Tensors, file: str) -> tuple[dict[str, Tensor], str]:
    """Tensors under anyone's names -> under ours, and the format's name.

    Raises:
        ValueError: where no format is recognised.
    """
    tensors = {name.removeprefix("module.").replace("_orig_mod.", ""): value for name, value in tensors.items()}
    for form in FORMATS:
        if form.sign in tensors:
            return form.translate(tensors), form.name
    first = ", ".join(list(tensors)[:3])
    raise ValueError(
        f"{file} holds no encoder that is known here: none of its {len(tensors)} tensors ({first}, ...) embeds patches; "
        "give a run, or weights of a ViT, BEiT or Swin from the official MAE or SimMIM, timm or Hugging Face (ViTMAE)"
    )
