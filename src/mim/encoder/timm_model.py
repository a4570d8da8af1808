"""Models of timm by name: which of them are one transformer over patches, and which are something
else.
"""

import warnings
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

import timm
from timm.layers import PatchEmbed
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mim.encoder.timm_attention import Fused
from mim.geometry import grid_of
from mim.plain import Settings, printable

MODULES = ("vision_transformer", "eva", "deit")
"""Modules of timm whose models are one transformer over a grid of patches."""
Transformer = VisionTransformer | VisionTransformerDistilled | Eva
_MODELS = (VisionTransformer, VisionTransformerDistilled, Eva)
_BLOCKS = {
    *(
        "Block",
        "ResPostBlock",
        "ParallelScalingBlock",
        "DiffParallelScalingBlock",
        "ParallelThingsBlock",
    ),
    *("EvaBlock", "EvaBlockPostNorm"),
}
_OWN = {"beit": "encoder=beit_base", "swin_transformer": "encoder=swin_base"}
_CREATE = timm.create_model
_INSTEAD = (
    "choose a ViT of timm with one grid of patches, e.g. encoder.name=vit_small_patch14_dinov2"
)


@runtime_checkable
class _Headed(Protocol):
    num_heads: int


def create(name: str, image_size: tuple[int, int], sizes: Settings) -> nn.Module:
    """Model of timm with new weights and no head.

    Args:
        name: of an architecture that timm registers; nothing is downloaded.
        image_size: height and width in pixels.
        sizes: timm's arguments; None where the architecture's own holds.

    Raises:
        ValueError: where there is no such transformer, or the sizes do not go together.
    """
    check_name(name)
    given = {key: value for key, value in sizes.items() if value is not None}
    if "reg_tokens" in given and timm.model_entrypoint(name.partition(".")[0]).__module__.endswith(
        ".eva"
    ):
        given["num_reg_tokens"] = given.pop("reg_tokens")
    architecture = name.partition(".")[0]
    try:
        with warnings.catch_warnings(action="ignore"):  # of names that timm has changed
            model = _CREATE(
                architecture, pretrained=False, num_classes=0, img_size=image_size, **given
            )
    except (AssertionError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        settings = ", ".join(
            f"{key}={value}" for key, value in ({"img_size": image_size} | given).items()
        )
        raise ValueError(
            f"timm cannot build {architecture} with {settings}: {printable(said)}"
        ) from error
    for part in model.modules():
        if isinstance(part, Fused):
            # whatever TIMM_FUSED_ATTN says: what attention sees is heard there
            part.fused_attn = True
    if isinstance(model, _MODELS):
        grid_of(image_size, model.patch_embed.patch_size)
    return model


def input_side(name: str) -> int:
    """Pixels per side of the images that an architecture of timm was published for."""
    found = timm.get_pretrained_cfg(name.partition(".")[0], allow_unregistered=True)
    return int(found.input_size[-1]) if found is not None and found.input_size else 224


def check_name(name: str) -> None:
    """Refuse what is none of timm's ViTs by its name: `hf-hub:...` would ask a network.

    Raises:
        ValueError: naming what it is, or others of timm.
    """
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        known = [each for module in MODULES for each in timm.list_models(module=module)]
        raise ValueError(
            f"encoder.name={printable(name, 80)} is no ViT of timm; "
            f"{nearest_of(architecture, known)}"
        )
    module = timm.model_entrypoint(architecture).__module__.rpartition(".")[2]
    if module not in MODULES:
        instead = f"{_OWN[module]} is such a one" if module in _OWN else _INSTEAD
        raise ValueError(
            f"timm's {name} is a {module}, which is not split into patches and blocks here; "
            f"{instead}"
        )


def nearest_of(given: str, known: list[str]) -> str:
    """A clause that names the nearest of many."""
    close = get_close_matches(given, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else _INSTEAD


def as_transformer(model: nn.Module, name: str) -> Transformer:
    """Model of timm that can be split into patches and blocks over any of them.

    Raises:
        ValueError: naming the part.
    """
    what = _foreign(model)
    if what:
        raise ValueError(
            f"timm's {name} has {what}, so patches cannot be left out of it; {_INSTEAD}"
        )
    assert isinstance(model, _MODELS)
    return model


def _foreign(model: nn.Module) -> str | None:
    if type(model) not in _MODELS:
        return f"another kind of network ({type(model).__name__})"
    assert isinstance(model, _MODELS)
    if type(model.patch_embed) is not PatchEmbed:
        return f"more than one convolution before its tokens ({type(model.patch_embed).__name__})"
    others = {type(block).__name__ for block in model.blocks} - _BLOCKS
    if others:
        return f"blocks of another kind ({', '.join(sorted(others))})"
    return "dropout of tokens" if model.pos_drop.p else None


def heads_of(model: Transformer) -> int:
    """Attention heads of a block."""
    block = model.blocks[0]
    return next(part.num_heads for part in block.modules() if isinstance(part, _Headed))
