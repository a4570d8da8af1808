"""Several losses at once, each with its weight and its name."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mim.masker.split import Split


class WeightedSum(nn.Module):
    """The sum of losses times weights. A term of weight 0 is still computed and logged, but teaches nothing.

    Args:
        term: losses by name.
        weight: of each, by the same names.
    """

    def __init__(self, term: Mapping[str, nn.Module], weight: Mapping[str, float]):
        super().__init__()
        if set(term) != set(weight):
            raise ValueError(
                f"WeightedSum got the terms {', '.join(term)} and weights for {', '.join(weight)}; "
                "each term needs one weight under its own name, e.g. loss.weight.consistency=1"
            )
        wanted = {name: loss.target_dim for name, loss in term.items() if loss.target_dim is not None}
        if len(set(wanted.values())) > 1:
            raise ValueError(
                "the terms of a sum judge the same predictions, but ask for different numbers of values per patch: "
                + ", ".join(f"{name} {count}" for name, count in wanted.items())
            )
        self.term, self.weight = nn.ModuleDict(term), dict(weight)
        self.target_dim = next(iter(wanted.values()), None)

    def terms(self, prediction: Tensor, image: Tensor, split: Split) -> dict[str, Tensor]:
        """Each loss without its weight: (B, K, Lm, P), (B, 3, H, W) and the split -> scalars by name."""
        return {name: loss(prediction, image, split) for name, loss in self.term.items()}

    def weigh(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Scalars by name -> their weighted sum."""
        return torch.stack([self.weight[name] * term for name, term in terms.items()]).sum()

    def forward(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, 3, H, W) and the split -> scalar."""
        return self.weigh(self.terms(prediction, image, split))
