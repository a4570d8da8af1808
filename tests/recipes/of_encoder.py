"""Facts of an encoder: sizes, positions, norms and how it starts."""

from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from timm.layers import DropPath
from torch import Tensor, nn

from mim.encoder.beit import Beit
from mim.encoder.pixio import Pixio
from mim.encoder.swin import Swin
from tests.recipes.facts import Facts


def encoder_facts(cfg: DictConfig, encoder: Any) -> Facts:
    """Sizes of an encoder, its norms and biases, and its positions."""
    swin = isinstance(encoder, Swin)
    stages = [stage.blocks for stage in encoder.layers] if swin else [encoder.blocks]
    blocks = [block for stage in stages for block in stage]
    patch = encoder.geometry.patch_size[0]
    facts = {
        "encoder.width": encoder.embed_dim,
        "encoder.heads": [stage[0].attn.num_heads for stage in stages]
        if swin
        else blocks[0].attn.num_heads,
        "encoder.image_size": cfg.data.image_size,
        "encoder.patch": patch // encoder.small if swin else patch,
        "_pixels_of_a_patch": patch,
        "encoder.drop_path": [drop_path_of(block) for block in blocks],
        "encoder.layer_scale": _layer_scale(cfg.encoder),
        **_positions(cfg.encoder, encoder),
        "encoder.qkv_bias": "query_value"
        if hasattr(blocks[0].attn, "q_bias")
        else blocks[0].attn.qkv.bias is not None,
        "encoder.norm_eps": blocks[0].norm1.eps,
        "encoder.cls_token": getattr(encoder, "cls_token", None) is not None,
        **({"encoder.start": cfg.encoder.start} if "start" in cfg.encoder else {}),
        **({"encoder.attention_dropout": rate} if (rate := _attention_dropout(blocks)) else {}),
        "encoder.mlp_ratio": blocks[0].mlp.fc1.out_features / blocks[0].mlp.fc1.in_features,
    }
    if isinstance(encoder, Pixio):
        facts |= {"encoder.cls_tokens": encoder.prefix}
    if swin:
        facts |= {"encoder.depths": [len(stage) for stage in stages]}
        facts |= {"encoder.window": blocks[0].window_size[0]}
    else:
        facts |= {"encoder.depth": len(blocks)}
    return facts


def drop_path_of(block: nn.Module) -> float:
    """Rate of stochastic depth of a block."""
    rates = {part.drop_prob for part in block.modules() if isinstance(part, DropPath)}
    return rates.pop() if rates else 0.0


def _attention_dropout(blocks: list[Any]) -> float:
    rates = {block.attn.attn_drop.p for block in blocks}
    return rates.pop() if len(rates) == 1 else -1.0


def _layer_scale(node: DictConfig) -> float | None:
    if "layer_scale" not in node:
        return None
    scale = (
        instantiate(OmegaConf.merge(node, {"depth": 1, "width": 64, "heads": 1})).blocks[0].gamma_1
    )
    return None if scale is None else scale.mean().item()


def _positions(node: DictConfig, encoder: Any) -> Facts:
    """What they are, and how they are resized to smaller views where those are learned from
    nothing.
    """
    if isinstance(encoder, Swin):
        return {"encoder.positions": "block_bias"}
    small = instantiate(OmegaConf.merge(node, {"depth": 1, "width": 64, "heads": 1}))
    if not isinstance(encoder, Beit):
        if small.pos_embed.requires_grad:
            starts = {"encoder.linear_sd": small.blocks[0].mlp.fc1.weight.std().item()}
            return {
                "encoder.positions": "learned",
                "encoder.resize_offset": encoder.resize_offset,
                **starts,
            }
        kind = "learned" if encoder.pos_embed.requires_grad else "fixed"
        return {"encoder.positions": f"{kind}_sincos{_order(small.pos_embed)}"}
    if encoder.pos_embed is not None:
        learned = encoder.pos_embed.requires_grad
        kind = "absolute" if learned else f"fixed_sincos{_order(small.pos_embed)}"
        biased = encoder.blocks[0].attn.relative_position_bias_table is not None
        return {"encoder.positions": f"{kind}_and_block_bias" if biased else kind}
    return {
        "encoder.positions": "shared_bias" if encoder.rel_pos_bias is not None else "block_bias"
    }


def _order(positions: Tensor) -> str:
    """Which half of a sine-cosine table (1, 1 + L, D) changes from a patch to the one on its right:
    the first, or with rows first the second.
    """
    patch, right = positions[0, -2:]
    half = len(patch) // 2
    rows_first, columns_first = patch[:half].equal(right[:half]), patch[half:].equal(right[half:])
    assert rows_first != columns_first
    return "_rows_first" if rows_first else ""
