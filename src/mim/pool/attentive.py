"""One learned query that attends to the tokens: the attentive probe (CAE, arXiv 2202.03026; AIM, arXiv 2401.08541)."""

import torch
from torch import Tensor, nn

from mim.pool.shape import Shape


class Attentive(nn.Module):
    """Multi-head cross-attention of one learned query to the patch tokens.

    Args:
        shape: of the tokens.
        heads: attention heads.

    Raises:
        ValueError: where the heads do not divide the width.
    """

    def __init__(self, shape: Shape, heads: int = 8):
        super().__init__()
        if shape.width % heads:
            raise ValueError(
                f"Attentive got heads={heads} for tokens {shape.width} wide; needs a divisor, e.g. pool.attentive.heads=4"
            )
        self.query = nn.Parameter(torch.randn(1, 1, shape.width) * shape.width**-0.5)
        # no biases: the softmax does not notice that of the keys, nor a batch norm behind this the others
        self.attention = nn.MultiheadAttention(shape.width, heads, bias=False, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 1 + L, D), cls first -> (B, D)."""
        patches = tokens[:, 1:]
        query = self.query.expand(len(tokens), -1, -1)
        return self.attention(query, patches, patches, need_weights=False)[0][:, 0]
