"""One learned query that attends to the tokens: the attentive probe (CAE, arXiv 2202.03026; AIM,
arXiv 2401.08541).
"""

import torch
from torch import Tensor, nn

from mim.geometry import check_heads
from mim.pool.pool import Needs, Shape
from mim.pool.shared import Scored, Summed


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

    def __init__(self, shape: Shape, heads: int = 8):
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
