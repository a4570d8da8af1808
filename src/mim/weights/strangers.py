"""Networks that no encoder here is, known by their tensors or by what stands beside them: refused by name."""

import re
from collections.abc import Iterable
from typing import Any

from mim.plain import printable

_BLOCKS = (  # by the names of timm, transformers and the releases
    (r"\.mlp\.(w12|w1|w3|fc1_g|fc1_x|weights_in|gate_up_proj|gate_proj)\.", "a gated feed-forward (SwiGLU)"),
    (r"layers\.\d+\.blocks\.\d+\.attn\.(logit_scale|cpb_mlp\.)", "the attention of Swin v2"),
    (r"(^|\.)(rope|rope_embed|rotary_emb)\.|\.attn\.rope", "rotary positions"),
    (r"blocks\.\d+\.attn\.(q_norm|k_norm)\.", "normalised queries and keys"),
    (r"blocks\.\d+\.(attns|ffns)\.\d+\.|blocks\.\d+\.(in_proj|mlp_out_proj)\.", "parallel blocks"),
)
_ALLOWED = {  # transformers writes 1e-12 for the official MAE, whose norms have 1e-6: far below any variance
    "hidden_act": ("gelu",),
    "layer_norm_eps": (1e-6, 1e-12),
    "qkv_bias": (True,),
    "num_channels": (3,),
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
                    f"{file} has {what} ({printable(name, 80)}), which no encoder here has; choose a plain ViT, a BEiT or "
                    "a Swin, or bring its encoder along, encoder._target_=..."
                )


def refuse_other_config(sizes: Any, file: object) -> None:
    """Refuse a `config.json` of transformers whose network has another activation, norm or bias than ours.

    Raises:
        ValueError: naming the setting.
    """
    if not isinstance(sizes, dict):
        return
    for key, values in _ALLOWED.items():
        if key in sizes and sizes[key] not in values:
            raise ValueError(
                f"{printable(file)} says {key}={printable(sizes[key], 60)}, and encoders here have {values[0]}: it would be "
                "another network; choose weights of such a one"
            )
