"""Files of image towers and their kin -> our names: CLIP and Perception Encoder, AIMv2, CAPI,
BootMAE.

Sources: openai/CLIP (clip/model.py), facebookresearch/perception_models
(core/vision_encoder/pe.py), apple/ml-aim (aim-v2/aim/v2/torch), facebookresearch/capi (model.py),
LightDXY/BootMAE (models/modeling_pretrain_bootmae.py, modeling_finetune_bootmae.py).
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from mim.encoder.positions import sincos_positions
from mim.weights.releases import renamed

Tensors = dict[str, Tensor]
TOWER = "transformer.resblocks.0.ln_1.weight"
CLIP = f"visual.{TOWER}"
AIM = "preprocessor.patchifier.proj.weight"
CAPI = "encoder.blocks.0.residual1.norm.weight"
_CLIP = (
    (r"^conv1\.", "patch_embed.proj."),
    (r"^class_embedding$", "cls_token"),
    (r"^positional_embedding$", "pos_embed"),
    (r"^transformer\.resblocks\.(\d+)\.", r"blocks.\1."),
    (r"^ln_pre\.", "norm_pre."),
    (r"^ln_post\.", "norm."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.ls_([12])\.gamma$", r".gamma_\1"),
    (r"\.attn\.in_proj_(weight|bias)$", r".attn.qkv.\1"),
    (r"\.attn\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
_AIM = (
    (r"^preprocessor\.patchifier\.", "patch_embed."),
    (r"^preprocessor\.pos_embed$", "pos_embed"),
    (r"^trunk\.post_trunk_norm\.", "norm."),
    (r"^trunk\.", ""),
    (r"\.norm_([12])\.", r".norm\1."),
)
_GATED = ((r"\.mlp\.fc1\.", ".mlp.fc1_g."), (r"\.mlp\.fc3\.", ".mlp.fc1_x."))
_CAPI = (
    (r"^patch_embed\.", "patch_embed.proj."),
    (r"^registers$", "reg_token"),
    (r"^encoder\.", ""),
    (r"\.residual1\.norm\.", ".norm1."),
    (r"\.residual1\.fn\.rope\.", ".attn."),
    (r"\.residual1\.fn\.", ".attn."),
    (r"\.residual2\.norm\.", ".norm2."),
    (r"\.residual2\.fn\.", ".mlp."),
)
_INSIDE = re.compile(r"(patch_embed|cls_token|pos_embed|reg_token|blocks|norm_pre|norm)(\.|$)")


def from_clip(tensors: Mapping[str, Tensor]) -> Tensors:
    """The image tower of a CLIP or a Perception Encoder; the text tower and pools are beside it.

    No tensor tells CLIP's activation, nor whether positions are rotary too: the model has to be
    named.
    """
    tower = {name: value for name, value in tensors.items() if name.startswith("visual.")}
    beside = {name: value for name, value in tensors.items() if tower and name not in tower}
    found = renamed(
        {name.removeprefix("visual."): value for name, value in (tower or tensors).items()}, _CLIP
    )
    for name in ("cls_token", "pos_embed"):
        if name in found:
            found[name] = found[name].reshape(1, -1, found[name].shape[-1])
    return _placed(found) | beside


def from_aim(tensors: Mapping[str, Tensor]) -> Tensors:
    """AIMv2, and AIM, which is refused by name later: norms of a tower with biases are its."""
    gates = _GATED if any(".mlp.fc3." in name for name in tensors) else ()
    return _placed(renamed(tensors, (*_AIM, *gates)))


def from_capi(tensors: Mapping[str, Tensor]) -> Tensors:
    """CAPI's encoder; its predictor and the clusters are beside it."""
    bare = {name.removeprefix("backbone."): value for name, value in tensors.items()}
    found = renamed(bare, _CAPI)
    for name in [name for name in found if name.endswith(".attn.q_proj.weight")]:
        block = name.removesuffix("q_proj.weight")
        parts = [found.pop(f"{block}{part}_proj.weight") for part in "qkv"]
        found[f"{block}qkv.weight"] = torch.cat(parts)
    return _placed(found)


def with_whole_bias(tensors: Tensors) -> Tensors:
    """BootMAE's blocks, which have biases of queries and values -> those of a plain ViT: keys have
    zero.

    What tells them from EVA-02's are positions of sines and cosines, and no layer scale. Others are
    as they were.
    """
    other = any(re.search(r"gamma_1|relative_position", name) for name in tensors)
    if other or "blocks.0.attn.q_bias" not in tensors:
        return tensors
    first, second = (tensors.get(f"blocks.0.mlp.fc{number}.weight") for number in (1, 2))
    gated = first is None or second is None or first.shape[0] != second.shape[1]
    if gated or not _sincos(tensors.get("pos_embed")):
        return tensors
    found = {
        name: value
        for name, value in tensors.items()
        if not name.endswith((".attn.q_bias", ".attn.v_bias"))
    }
    for name, query in tensors.items():
        if name.endswith(".attn.q_bias"):
            block = name.removesuffix("q_bias")
            value = tensors[f"{block}v_bias"]
            found[f"{block}qkv.bias"] = torch.cat([query, torch.zeros_like(query), value])
    return found


def _sincos(positions: Tensor | None) -> bool:
    """Whether positions (1, 1 + L, D) are sines and cosines of a square, cls first, of either
    order.
    """
    if positions is None or positions.ndim != 3 or positions.shape[-1] % 4:
        return False
    side = round((positions.shape[1] - 1) ** 0.5)
    if side * side + 1 != positions.shape[1]:
        return False
    found = positions[0].double()
    tables = (
        sincos_positions(found.shape[1], (side, side), rows_first=order) for order in (False, True)
    )
    return any(torch.allclose(found, table, atol=1e-3) for table in tables)


def _placed(tensors: Tensors) -> Tensors:
    """Under `encoder.` what belongs to an encoder; all else keeps its name."""
    return {
        f"encoder.{name}" if _INSIDE.match(name) else name: value for name, value in tensors.items()
    }
