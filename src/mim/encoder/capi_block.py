"""Block of CAPI over attention whose queries and keys are turned by place (arXiv 2502.08769;
facebookresearch/capi, model.py).
"""

from functools import partial

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn.functional import gelu

from mim.encoder.attention import attend
from mim.encoder.blocks import Bias

NORM = partial(nn.RMSNorm, eps=1e-5)


class Attention(nn.Module):
    """Attention whose queries and keys are turned by frequencies of its own (model.py: Rope,
    Attention).

    Channel i of a head is turned against channel i + d / 2, by its row in the first half and by its
    column in the second: so the release has it, though pairs are turned by one angle elsewhere.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width, bias=False)
        self.freqs = nn.Parameter(_frequencies(width // heads), requires_grad=False)

    def turned(self, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, M, D) at places (B or 1, M, 2) -> queries, keys and values (B, A, M, d)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind()
        # a sum, which autocast leaves in float32, and no product of matrices
        angle = (places[..., :1] * self.freqs[0] + places[..., 1:] * self.freqs[1])[:, None]
        cos, sin = angle.cos().to(query.dtype), angle.sin().to(query.dtype)
        query, key = (t * cos + _swapped(t) * sin for t in (query, key))
        return query, key, value

    def forward(self, x: Tensor, places: Tensor, bias: Bias) -> Tensor:
        """Tokens (B, M, D) -> what they see (B, M, D)."""
        return self.proj(attend(*self.turned(x, places), bias).transpose(1, 2).flatten(2))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(gelu(self.fc1(x)))


class CapiBlock(nn.Module):
    """Attention and an MLP, each on what a norm makes of the tokens, and added to them."""

    def __init__(self, width: int, heads: int, hidden: int, drop_path: float):
        super().__init__()
        self.norm1, self.attn = NORM(width), Attention(width, heads)
        self.norm2, self.mlp = NORM(width), _Mlp(width, hidden)
        self.drop_path = DropPath(drop_path)
        for part in (self.attn.qkv, self.attn.proj, self.mlp.fc1, self.mlp.fc2):
            for product in part.weight.chunk(3) if part is self.attn.qkv else [part.weight]:
                nn.init.xavier_uniform_(product)

    def update(self, x: Tensor, places: Tensor, bias: Bias) -> Tensor:
        """What attention adds to the tokens that enter."""
        return self.drop_path(self.attn(self.norm1(x), places, bias))

    def forward(self, x: Tensor, places: Tensor, bias: Bias) -> Tensor:
        """Tokens (B, M, D) at places (B or 1, M, 2) -> (B, M, D)."""
        x = x + self.update(x, places, bias)
        return x + self.drop_path(self.mlp(self.norm2(x)))


def _swapped(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)


def _frequencies(channels: int) -> Tensor:
    """(2, d): those of rows in the first half of a head's channels, of columns in the second."""
    falling = 7.0 * (7.0 / 7e-4) ** torch.linspace(0, -1, channels // 4)
    half = torch.cat([falling, falling]) * 2 * torch.pi
    none = torch.zeros_like(half)
    return torch.stack([torch.cat([half, none]), torch.cat([none, half])])
