"""One learned query that attends to the tokens: the attentive probe (CAE, arXiv 2202.03026; AIM,
arXiv 2401.08541).
"""

import torch
from torch import Tensor, nn

from mim.geometry import check_heads
from mim.pool.pool import Needs, Shape
from mim.pool.shared import Scored, Summed
from mim.ranges import Count, in_range


class Attentive(nn.Module):
    """Multi-head cross-attention of one learned query to the patch tokens.

    With one query no token has to be projected: what the query asks is carried to the tokens
    instead, and their weighted sum to the values. The result is that of projecting every token to a
    key and a value, for a share of the work: heads / width. There are no biases: the softmax does
    not notice those of keys, nor a batch norm behind this the others.

    Args:
        shape: of the tokens.
        heads: attention heads.

    Raises:
        ValueError: where the heads do not divide the width.
    """

    needs = Needs()

    @in_range
    def __init__(self, shape: Shape, heads: Count = 8):
        super().__init__()
        width = shape.width
        check_heads("Attentive", width, heads, "pool.attentive.heads")
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query = nn.Parameter(torch.randn(width))
        self.key, self.value, self.out = (nn.Linear(width, width, bias=False) for _ in range(3))
        for layer in (self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        per_head = (self.heads, -1)
        asked = torch.einsum(
            "ad,adw->aw", self.query.unflatten(0, per_head), self.key.weight.unflatten(0, per_head)
        )
        weight = Scored.apply(patches, asked * self.scale).softmax(dim=1)  # (B, L, A)
        gathered = Summed.apply(weight.mT, patches)  # (B, A, D)
        value = torch.einsum("baw,adw->bad", gathered, self.value.weight.unflatten(0, per_head))
        return self.out(value.flatten(1))


class ReleasedAttentive(nn.Module):
    """The attentive probe as CAE's release has it (lxtGH/CAE, models/modeling_finetune.py:
    AttentiveBlock).

    Query, keys and values are normalised first, each by a layer norm of its own; queries and values
    have biases, and the query starts at zero, so that all tokens weigh alike; the cls token is one
    of them. Which functions there are is almost that of `Attentive`, how they are learned is not.

    Args:
        shape: of the tokens.
        heads: attention heads, the encoder's in the release.

    Raises:
        ValueError: where the heads do not divide the width.
    """

    needs = Needs(cls=True)

    @in_range
    def __init__(self, shape: Shape, heads: Count = 12):
        super().__init__()
        width = shape.width
        check_heads("ReleasedAttentive", width, heads, "pool.attentive_cae.heads")
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.query = nn.Parameter(torch.zeros(width))
        self.norm_query, self.norm_key, self.norm_value = (
            nn.LayerNorm(width, eps=1e-6) for _ in range(3)
        )
        self.to_query, self.to_value, self.out = (nn.Linear(width, width) for _ in range(3))
        self.to_key = nn.Linear(width, width, bias=False)
        for layer in (self.to_query, self.to_key, self.to_value, self.out):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        for layer in (self.to_query, self.to_value, self.out):
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """All tokens (B, 1 + L, D) -> (B, D)."""
        per_head = (self.heads, -1)
        query = self.to_query(self.norm_query(self.query)).unflatten(0, per_head)
        asked = torch.einsum("ad,adw->aw", query, self.to_key.weight.unflatten(0, per_head))
        weight = Scored.apply(self.norm_key(tokens), asked * self.scale).softmax(dim=1)
        gathered = Summed.apply(weight.mT, self.norm_value(tokens))  # (B, A, D)
        value = torch.einsum(
            "baw,adw->bad", gathered, self.to_value.weight.unflatten(0, per_head)
        ).flatten(1)
        return self.out(value + self.to_value.bias)
