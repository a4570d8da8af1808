"""Efficient probing: several learned queries, each of which pools channels of its own (Psomas et
al., arXiv 2506.10178).
"""

import torch
from torch import Tensor, nn

from mim.pool.pool import Needs, Shape
from mim.pool.shared import Scored, Summed
from mim.ranges import Count


class EP(nn.Module):
    """Attention of Q learned queries to patches that are not projected; each averages D' / Q
    channels of values, which are.

    As nothing but the averages of patches is projected, the result is that of projecting every
    patch, for a share of the work (billpsomas/efficient-probing, poolings/ep.py, which projects all
    of them). A query's channels stand side by side.

    Args:
        shape: of the tokens.
        queries: Q.
        shrink: D / D', how many times fewer channels come out than go in.

    Raises:
        ValueError: where queries times `shrink` do not divide the width.
    """

    needs = Needs()

    def __init__(self, shape: Shape, queries: Count = 32, shrink: Count = 1):
        super().__init__()
        if shape.width % (queries * shrink):
            raise ValueError(
                f"EP got queries={queries}, shrink={shrink} for tokens {shape.width} wide; their "
                "product has to divide the "
                "width, e.g. pool.ep.queries=16 pool.ep.shrink=1"
            )
        self.scale = shape.width**-0.5
        self.query = nn.Parameter(torch.randn(queries, shape.width) * 0.02)
        self.value = nn.Linear(shape.width, shape.width // shrink, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D')."""
        weight = Scored.apply(patches, self.query * self.scale).softmax(dim=1)  # (B, L, Q)
        gathered = Summed.apply(weight.mT, patches)  # (B, Q, D)
        value = self.value.weight.unflatten(0, (len(self.query), -1))
        return torch.einsum("bqw,qdw->bqd", gathered, value).flatten(1)
