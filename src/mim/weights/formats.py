"""Tell who wrote a checkpoint by the names of its tensors, and translate them into ours."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from mim.weights import official_mae, releases, towers
from mim.weights.hugging_face import from_hugging_face
from mim.weights.official_simmim import from_bare, from_official_simmim
from mim.weights.prefixes import encoder_prefixes, under_key, unwrapped

Tensors = Mapping[str, Tensor]


class Format(NamedTuple):
    """A way to name tensors."""

    name: str
    sign: str
    """A tensor that every checkpoint of this format has, and none of those below it in the list;
    or, with a point at its end, how names of tensors begin.
    """
    translate: Callable[[Tensors], dict[str, Tensor]]
    beside: str = ""
    """A tensor that it has, too, where others have the sign."""

    def is_of(self, tensors: Tensors) -> bool:
        """Whether tensors are named so."""
        if self.sign.endswith("."):
            return any(name.startswith(self.sign) for name in tensors)
        return self.sign in tensors and (not self.beside or self.beside in tensors)


def _from_official_mae(tensors: Tensors) -> dict[str, Tensor]:
    ours = {official_mae.from_official(name): value for name, value in tensors.items()}
    inside = {
        name.removeprefix("encoder."): value
        for name, value in ours.items()
        if name.startswith("encoder.")
    }
    return ours | {f"encoder.{name}": value for name, value in releases.several_cls(inside).items()}


def _from_run(tensors: Tensors) -> dict[str, Tensor]:
    return {
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    }


_ENCODER = "encoder.patch_embed.proj.weight"
FORMATS = [
    Format("a run of ours", f"model.{_ENCODER}", _from_run),
    Format("Hugging Face", "vit.embeddings.patch_embeddings.projection.weight", from_hugging_face),
    Format("Hugging Face", "embeddings.patch_embeddings.projection.weight", from_hugging_face),
    Format("official MAE", "decoder_embed.weight", _from_official_mae),
    Format("official CrossMAE, with a new final norm", releases.CROSSMAE, releases.from_crossmae),
    Format("MMPretrain", releases.MMPRETRAIN, releases.from_mmpretrain),
    Format("official SimMIM", "decoder.0.weight", from_official_simmim, _ENCODER),
    Format("CLIP or Perception Encoder", towers.CLIP, towers.from_clip),
    Format("CLIP or Perception Encoder", towers.TOWER, towers.from_clip),
    Format("AIM", towers.AIM, towers.from_aim),
    Format("CAPI", f"backbone.{towers.CAPI}", towers.from_capi),
    Format("CAPI", towers.CAPI, towers.from_capi),
    Format("ours", _ENCODER, dict),
    Format(
        "official SimMIM, fine-tuned Swin", "layers.0.downsample.norm.weight", from_official_simmim
    ),
    Format("a bare encoder", "patch_embed.proj.weight", from_bare),  # timm's, or fine-tuned
    Format("a run of ours", "model.encoder.", _from_run),  # with an encoder of somebody's own
]


def translate(tensors: Tensors, file: str, key: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Tensors under anyone's names -> under ours, and the format's name.

    Args:
        tensors: of a file.
        file: for messages.
        key: of several encoders in it the one whose names begin with this; None for the averaged
            one.

    Raises:
        ValueError: where no format is recognised.
    """
    tensors = {unwrapped(name): value for name, value in tensors.items()}
    if key is not None:
        found = [under_key(tensors, key, file)]
    else:
        known = any(form.is_of(tensors) for form in FORMATS if not form.sign.endswith("."))
        found = _networks(tensors) or ([] if known else encoder_prefixes(tensors))
    if found:
        under = {
            name.removeprefix(found[0]): value
            for name, value in tensors.items()
            if name.startswith(found[0])
        }
        ours, name = translate(under, file)
        return ours, f"{name} under {found[0]}" + (
            f", not {' or '.join(found[1:])}" if found[1:] else ""
        )
    for form in FORMATS:
        if form.is_of(tensors):
            return form.translate(tensors), form.name
    first = ", ".join(list(tensors)[:3])
    raise ValueError(
        f"{file} holds no encoder that is known here: none of its {len(tensors)} tensors ({first}, "
        "...) embeds patches; "
        "give a run, or weights of a ViT, BEiT or Swin from the official MAE or SimMIM, timm or "
        "Hugging Face (ViTMAE)"
    )


def _networks(tensors: Tensors) -> list[str]:
    """Prefix of what others call an encoder as we do, known by a head in it: a whole network."""
    prefixes = ("model.encoder.", "encoder.")
    return [each for each in prefixes if {f"{each}head.weight", f"{each}head.bias"} <= {*tensors}]


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
            f"{file} has no teacher; teacher:<checkpoint> is of a run that was trained with one "
            "(teacher=ema), give the "
            "checkpoint alone"
        )
    return found
