"""Files of the methods' own releases -> timm's names: DINOv2, DINOv3, Pixio, CrossMAE, MMPretrain,
and parts beside an encoder.

Sources: facebookresearch/dinov2 (dinov2/models/vision_transformer.py), facebookresearch/dinov3
(dinov3/models and layers), facebookresearch/pixio (pretraining/models_pixio.py),
TonyLianLong/CrossMAE (models_cross.py), open-mmlab/mmpretrain
(models/backbones/vision_transformer.py), facebookresearch/msn (src/deit.py), microsoft/unilm
(beit/modeling_pretrain.py, beit2/modeling_pretrain.py).
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Tensors = dict[str, Tensor]
CROSSMAE = "wfm.linear.weight"
"""Weights of the feature maps that a CrossMAE's decoder looks at."""
MMPRETRAIN = "backbone.patch_embed.projection.weight"
_BESIDE = re.compile(
    r"^((mask_token|masked_embed|mask_token_1|de_pos_embed|decoder_pos_embed)$|"
    r"((lm_head|down)(_1)?|cls_pt_\w+|fc|wfm|dec_norms|decode_\w+|decoder_\w+|local_cls_norm|"
    r"projectors|neck|(\w+_)?(heads?|classifier|projector|predictor|prototypes)(_\w+)?)\.)"
)
"""What a training keeps beside the parts of its encoder: BEiT, BEiT v2 and data2vec, iBOT, MSN,
BootMAE, CrossMAE, DINOv3; heads, projectors and the like of anybody.
"""
_COMPUTED = re.compile(r"(relative_position_index|attn_mask|bias_mask|rope_embed\.periods)$")
_CHUNK = re.compile(r"^blocks\.\d+\.(\d+\.)")  # of DINOv2 while it is trained on many processes
_GATES = (  # of DINOv2 and DINOv3, which have layer scale
    (".mlp.w12.", ".mlp.fc1."),
    (".mlp.w1.", ".mlp.fc1_g."),
    (".mlp.w2.", ".mlp.fc1_x."),
    (".mlp.w3.", ".mlp.fc2."),
)
_MMPRETRAIN = (
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
    (r"^layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
    (r"^layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    (r"^layers\.(\d+)\.attn\.", r"blocks.\1.attn."),
    (r"^ln1\.", "norm."),
)


def split(tensors: Mapping[str, Tensor]) -> tuple[Tensors, Tensors]:
    """Tensors of an encoder, under timm's names, and what was trained beside it; what is computed
    is dropped.
    """
    learned = {name: value for name, value in tensors.items() if not _COMPUTED.search(name)}
    beside = {name: value for name, value in learned.items() if _BESIDE.match(name)}
    inside = {
        _CHUNK.sub(r"blocks.\1", name): value
        for name, value in learned.items()
        if name not in beside
    }
    for old, new in _GATES if any(name.endswith(".ls1.gamma") for name in inside) else ():
        inside = {name.replace(old, new): value for name, value in inside.items()}
    if "storage_tokens" in inside:
        inside = _dinov3(inside)
    elif "register_tokens" in inside:
        inside = with_positions({_renamed(name): value for name, value in inside.items()})
    return several_cls(inside), beside


def from_crossmae(tensors: Mapping[str, Tensor]) -> Tensors:
    """A pre-trained CrossMAE -> our names.

    Its encoder ends without a norm, because the decoder norms every feature map itself. The norm is
    a new one, as where its fine-tuning begins.
    """
    inside, beside = split(tensors)
    width = inside["patch_embed.proj.weight"].shape[0]
    norm = {"norm.weight": torch.ones(width), "norm.bias": torch.zeros(width)}
    return {f"encoder.{name}": value for name, value in (inside | norm).items()} | beside


def from_mmpretrain(tensors: Mapping[str, Tensor]) -> Tensors:
    """A ViT of MMPretrain -> our names; its neck, its head and a second network keep theirs."""
    inside = {
        name.removeprefix("backbone."): value
        for name, value in tensors.items()
        if name.startswith("backbone.")
    }
    beside = {name: value for name, value in tensors.items() if not name.startswith("backbone.")}
    ours = renamed(inside, _MMPRETRAIN)
    return {f"encoder.{name}": value for name, value in ours.items()} | beside


def several_cls(tensors: Tensors) -> Tensors:
    """Cls tokens beyond the first (Pixio) are registers with a position."""
    token = tensors.get("cls_token")
    if not isinstance(token, Tensor) or token.ndim < 2 or token.shape[1] == 1:
        return tensors
    return tensors | {"cls_token": token[:, :1], "reg_token": token[:, 1:]}


def with_positions(tensors: Tensors) -> Tensors:
    """Registers of DINOv2 have no position: that of the cls token is in the token."""
    if "reg_token" not in tensors:
        return tensors
    first, patches = tensors["pos_embed"][:, :1], tensors["pos_embed"][:, 1:]
    return tensors | {"cls_token": tensors["cls_token"] + first, "pos_embed": patches}


def _renamed(name: str) -> str:
    return "reg_token" if name in ("register_tokens", "storage_tokens") else name


def _dinov3(tensors: Tensors) -> Tensors:
    """Keys have no bias, whatever the file holds for them; where queries and values have none
    either, there is none at all.
    """
    biases = {
        name: value.chunk(3) for name, value in tensors.items() if name.endswith(".attn.qkv.bias")
    }
    ours = {
        re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", _renamed(name)): value
        for name, value in tensors.items()
        if name not in biases
    }
    if any(bool(part.any()) for query, _, value in biases.values() for part in (query, value)):
        for name, (query, _, value) in biases.items():
            block = name.removesuffix("qkv.bias")
            ours |= {f"{block}q_bias": query.clone(), f"{block}v_bias": value.clone()}
    return ours


def renamed(tensors: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Tensors under other names: each pattern in turn is replaced wherever it is found."""
    found = {}
    for name, value in tensors.items():
        for pattern, new in names:
            name = re.sub(pattern, new, name)
        found[name] = value
    return found
