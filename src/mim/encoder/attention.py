"""Attention by the kernel that is fastest where the tokens are."""

import torch
from timm.layers import Attention as TimmAttention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V over (B, A, L, d) tensors -> (B, A, L, d).

    Always the fused kernel, except in half precision on a CPU: there two batched products are faster (benchmarks/step.py).
    """
    if query.device.type == "cpu" and query.dtype != torch.float32:
        return (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).softmax(-1) @ value
    return scaled_dot_product_attention(query, key, value)


class Attention(TimmAttention):
    """timm's multi-head self-attention, with its parameters and key names, over `attend`."""

    def forward(self, x: Tensor, attn_mask: None = None, is_causal: bool = False) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        B, L, D = x.shape
        query, key, value = self.qkv(x).view(B, L, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(query, key, value).transpose(1, 2).reshape(B, L, D))
