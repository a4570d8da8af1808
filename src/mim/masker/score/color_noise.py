"""Hide where filtered noise is low: masks with a grain, whatever is in the image (ColorMAE, arXiv
2407.13036).
"""

import math
from typing import Literal

from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.score.ranking import Ranking
from mim.ranges import Positive

Colour = Literal["red", "green", "blue", "purple"]


class ColorNoise(nn.Module):
    """Rank patches by noise of a colour, the lowest hidden first.

    White noise W, one number a patch, is blurred by Gaussians G: "red" is G W, what changes slowly;
    "blue" is W - G W, what changes fast; "green" is G W - G' W with the wider G', what lies
    between; "purple" is W without that. Each image draws its own; the release cuts the windows of a
    whole batch out of 3,072 patterns at one place (carlosh93/ColorMAE,
    models/utils/masking_generator.py), and neither it nor we know the deviations that the patterns
    were made with: they are ours.

    Args:
        colour: which frequencies are left.
        sigma: deviation of G in patches.
        coarse_sigma: that of G', of green and purple noise.

    Raises:
        ValueError: where the wider Gaussian is none.
    """

    needs_tokens = False

    def __init__(
        self, colour: Colour = "green", sigma: Positive = 1.0, coarse_sigma: Positive = 2.0
    ):
        super().__init__()
        if not 0 < sigma < coarse_sigma:
            raise ValueError(
                f"ColorNoise got sigma={sigma}, coarse_sigma={coarse_sigma}; needs 0 < sigma < "
                "coarse_sigma, e.g. "
                "masker.score.sigma=1 masker.score.coarse_sigma=2"
            )
        self.colour, self.sigma, self.coarse_sigma = colour, sigma, coarse_sigma

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Ranking:
        """B images of a grid of L patches -> ranking (B, L)."""
        return Ranking(-self.drawn(batch.key, grid).flatten(1))

    def drawn(self, key: Tensor, grid: tuple[int, int]) -> Tensor:
        """Keys of images (B,) -> noise of the colour (B, rows, columns); beyond the border it goes
        on.
        """
        reach = math.ceil(3 * self.coarse_sigma)
        rows, columns = (side + 2 * reach for side in grid)
        white = uniform(key, rows * columns, MASK).view(-1, rows, columns)
        plain = white[:, reach:-reach, reach:-reach]
        fine = blurred(white, self.sigma, reach)
        if self.colour in ("red", "blue"):
            return fine if self.colour == "red" else plain - fine
        between = fine - blurred(white, self.coarse_sigma, reach)
        return between if self.colour == "green" else plain - between


def blurred(image: Tensor, sigma: float, reach: int) -> Tensor:
    """(B, rows + 2 reach, columns + 2 reach), under a Gaussian that is cut there and sums to 1 ->
    (B, rows, columns).

    Added up term by term: a matrix product would sum in an order that depends on how many images
    there are.
    """
    weight = [math.exp(-(place**2) / (2 * sigma**2)) for place in range(-reach, reach + 1)]
    share = [each / sum(weight) for each in weight]
    for axis in (1, 2):
        length = image.shape[axis] - 2 * reach
        parts = [each * image.narrow(axis, place, length) for place, each in enumerate(share)]
        image = sum(parts[1:], parts[0])
    return image
