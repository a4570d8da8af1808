"""Attention-based multiple-instance learning pooling (Ilse et al., arXiv 1802.04712), as in Beyond
[cls] (arXiv 2412.03215).
"""

from collections.abc import Callable
from typing import Literal

from timm.layers import Attention
from torch import Tensor, nn

from mim.encoder.positions import sincos_positions
from mim.pool.pool import Needs, Shape
from mim.pool.shared import Scores, Summed
from mim.ranges import Count, in_range

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class AbMILP(nn.Module):
    """The weighted mean of tokens, where a small network scores each token for its weight.

    The defaults are those of the paper's results (one linear layer scores the patches); the
    released class has others by default: depth=2, tokens="all".

    Args:
        shape: of the tokens.
        depth: layers of the network that scores.
        activation: between them.
        self_attention: let tokens look at each other first (one head), to be scored ("map"), or
            also to be averaged ("both").
        positions: add sine-cosine positions to what is scored.
        tokens: average the patches, or the cls token as well.
    """

    @in_range
    def __init__(
        self,
        shape: Shape,
        depth: Count = 1,
        activation: Literal["tanh", "relu"] = "relu",
        self_attention: Literal["none", "map", "both"] = "none",
        positions: bool = False,
        tokens: Literal["patches", "all"] = "patches",
    ):
        super().__init__()
        self.needs = Needs(cls=tokens == "all")
        self.attention = None if self_attention == "none" else Attention(shape.width, num_heads=1)
        self.averages_attended = self_attention == "both"
        where = (
            sincos_positions(shape.width, shape.grid, cls=tokens == "all").float()
            if positions
            else None
        )
        self.position: Tensor | None
        self.register_buffer("position", where, persistent=False)
        hidden = [
            (Scores(shape.width, shape.width), ACTIVATIONS[activation]()) for _ in range(depth - 1)
        ]
        self.score = nn.Sequential(
            *(layer for pair in hidden for layer in pair), Scores(shape.width, 1)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Patches (B, L, D), or all tokens (B, 1 + L, D) -> (B, D)."""
        attended = tokens if self.attention is None else self.attention(tokens)
        weight = self.weight(attended)
        return Summed.apply(weight.mT, attended if self.averages_attended else tokens)[:, 0]

    def weight(self, attended: Tensor) -> Tensor:
        """Tokens, each after what it attended to (B, M, D) -> weights (B, M, 1) that sum to one."""
        scored = attended if self.position is None else attended + self.position
        return self.score(scored).softmax(dim=1)
