"""Term whose errors count more in the middle of what is masked (BootMAE, arXiv 2207.07116)."""

from torch import Tensor
from torch.nn.functional import avg_pool2d

from mim.geometry import Geometry
from mim.loss.error import masked_mean
from mim.loss.term import Term
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.tokens import take


class NeighbourTerm(Term):
    """Mean over masked patches of errors, each times 1 + the share of masked patches among the 3 x
    3 around it.

    Beyond the border nothing is masked (LightDXY/BootMAE, run_pretraining.py: `weight_mask`).

    Args:
        target, error, beta: as in `Term`.
    """

    grid: tuple[int, int]

    def fit(self, geometry: Geometry) -> None:
        """Build the target for the encoder's images, where it waits for them, and remember their
        grid.
        """
        super().fit(geometry)
        self.grid = geometry.grid

    def compare(self, prediction: Tensor, values: Tensor, split: Split) -> Tensor:
        """Predictions and target values (B, K, Lm, P) -> scalar; padding counts for nothing."""
        error = self.measure(at_least_single(prediction), values)
        return masked_mean(error * (1 + masked_around(split, self.grid)), split)


def masked_around(split: Split, grid: tuple[int, int]) -> Tensor:
    """Share of masked patches among the 3 x 3 around each masked one, itself included: (B, K,
    Lm).
    """
    hidden = split.hidden(grid[0] * grid[1]).float()
    share = avg_pool2d(hidden.unflatten(2, grid).flatten(0, 1)[:, None], 3, 1, padding=1).flatten(1)
    return take(share[..., None], split.masked.flatten(0, 1)[:, None])[:, 0, :, 0].view_as(
        split.masked
    )
