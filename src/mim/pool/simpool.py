"""SimPool: the mean asks the patches once (Psomas et al., "Keep It SimPool", arXiv 2309.06891)."""

from typing import Annotated

from torch import Tensor, nn

from mim.pool.pool import Needs, Shape
from mim.ranges import Positive, in_range


class SimPool(nn.Module):
    """Attention of the mean patch to the patches, whose values are averaged as a generalised mean
    (section 4, algorithm 1).

    Args:
        shape: of the tokens.
        gamma: power of that mean: 1 is the arithmetic mean, the higher the closer to the maximum.
            The paper's for transformers.
    """

    needs = Needs()

    @in_range
    def __init__(self, shape: Shape, gamma: Annotated[Positive, "e.g. 1.25"] = 1.25):
        super().__init__()
        self.gamma, self.scale = gamma, shape.width**-0.5
        self.norm = nn.LayerNorm(shape.width, eps=1e-6)
        self.query = nn.Linear(shape.width, shape.width, bias=False)
        self.key = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Patches (B, L, D) -> (B, D)."""
        value = self.norm(patches)
        # what the mean asks is carried through the keys' weights to the patches: cheaper than the
        # patches to keys, and the same
        asked = self.query(patches.mean(dim=1, keepdim=True)) @ self.key.weight  # (B, 1, D)
        weight = (asked * self.scale @ value.transpose(1, 2)).softmax(dim=-1)  # (B, 1, L)
        # an image's own minimum: others have no say in it
        value = value - value.amin(dim=(1, 2), keepdim=True) + 1e-6
        return (weight @ value**self.gamma)[:, 0] ** (1 / self.gamma)
