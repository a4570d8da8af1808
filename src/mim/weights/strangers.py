"""Networks that no encoder here is, known by their tensors or by what stands beside them: refused
by name.
"""

import math
import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from mim.plain import printable

_BLOCKS = (  # by the names of timm, transformers and the releases
    (
        r"\.mlp\.(w12|w1|w3|fc1_g|fc1_x|weights_in|gate_up_proj|gate_proj)\.",
        "a gated feed-forward (SwiGLU)",
    ),
    (r"layers\.\d+\.blocks\.\d+\.attn\.(logit_scale|cpb_mlp\.)", "the attention of Swin v2"),
    (r"(^|\.)(rope|rope_embed|rotary_emb)\.|\.attn\.rope", "rotary positions"),
    (r"blocks\.\d+\.attn\.(q_norm|k_norm)\.", "normalised queries and keys"),
    (r"(^|\.)norm_pre\.", "a norm before its blocks (CLIP, Perception Encoder)"),
    (r"\.attn\.rel_pos_[hw]$", "positions of rows and columns in its attention (SAM)"),
    (r"blocks\.\d+\.(attns|ffns)\.\d+\.|blocks\.\d+\.(in_proj|mlp_out_proj)\.", "parallel blocks"),
)
OTHER_TOKENS = {"register tokens": "reg_token", "a distillation token": "dist_token"}
# transformers writes 1e-12 for the official MAE, whose norms have 1e-6: far below any variance
_ALLOWED = {
    "hidden_act": ("gelu",),
    "layer_norm_eps": (1e-6, 1e-12),
    "qkv_bias": (True,),
}


def refuse_other_blocks(names: Iterable[str], file: str) -> None:
    """Refuse tensors of blocks that no encoder here has.

    Raises:
        ValueError: naming what they are.
    """
    for name in names:
        for pattern, what in _BLOCKS:
            if re.search(pattern, name):
                raise ValueError(
                    f"{file} has {what} ({printable(name, 80)}), which no encoder here has; choose "
                    "a plain ViT, a BEiT or "
                    "a Swin, or say which model of timm it is, encoder=timm encoder.name=..."
                )


def refuse_other_tokens(tensors: Mapping[str, Tensor], file: str, beit: bool = False) -> None:
    """Refuse an encoder that has not one cls token before the patches, each of them with a
    position.

    Args:
        tensors: of the encoder.
        file: for messages.
        beit: whether something beside the encoder says that it is a BEiT, where positions and
            blocks may be those of an EVA-02.

    Raises:
        ValueError: naming what it has instead.
    """
    if (
        not beit
        and "blocks.0.attn.q_bias" in tensors
        and not any(re.search("gamma_1|relative_position", name) for name in tensors)
    ):
        raise ValueError(
            f"{file} may have rotary positions (EVA-02), which no tensor tells; say which model of "
            "timm it is: "
            "encoder=timm encoder.name=..."
        )
    if "patch_embed.norm.weight" in tensors and "blocks.0.norm1.weight" in tensors:
        raise ValueError(
            f"{file} has a norm of its patches (AIM), which no encoder here but AIMv2 has; choose "
            "its weights, or a plain ViT"
        )
    positions = tensors.get("pos_embed")
    if positions is None:  # relative ones
        return
    others = [kind for kind, name in OTHER_TOKENS.items() if name in tensors]
    if others:
        has = f"{' and '.join(others)} beside its patches"
    elif "cls_token" not in tensors:
        has = "no cls token"
    # those of a square of patches, and no other
    elif math.isqrt(positions.shape[1]) ** 2 == positions.shape[1]:
        has = "a cls token without a position"
    else:
        return
    raise ValueError(
        f"{file} has {has}; an encoder here has one cls token, its patches and a position for each "
        "of them: choose such a ViT, e.g. timm:vit_small_patch16_224.dino, or say which model of "
        "timm it is: encoder=timm encoder.name=..."
    )


def refuse_unknown_activation(beside: Iterable[str], file: str) -> None:
    """Refuse SigLIP's encoder, known by the attention that pools it: half of its models have
    another GELU than the other half.

    Raises:
        ValueError: asking which it is.
    """
    if any(name.startswith("attn_pool.") for name in beside):
        raise ValueError(
            f"{file} pools by attention, as SigLIP does, and no tensor tells the activation of its "
            "blocks; say which model of timm it is, e.g. encoder.name=vit_base_patch16_siglip_224"
        )


def refuse_other_config(sizes: object, file: object) -> None:
    """Refuse a `config.json` of transformers whose network has another activation, norm or bias
    than ours.

    Raises:
        ValueError: naming the setting.
    """
    if not isinstance(sizes, dict):
        return
    for key, values in _ALLOWED.items():
        if key in sizes and sizes[key] not in values:
            raise ValueError(
                f"{printable(file)} says {key}={printable(sizes[key], 60)}, and encoders here have "
                f"{values[0]}: it would be "
                "another network; choose weights of such a one"
            )
