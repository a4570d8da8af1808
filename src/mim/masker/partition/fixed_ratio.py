"""Hide the same share of every image: from the top of the ranking."""

import math
from typing import Annotated, Literal

from torch import nn

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.optim.number import NumberSchedule, Varying
from mim.ranges import Fraction, refuse_outside

MaskRatio = Annotated[Fraction, "e.g. 0.75"]


class FixedRatio(Varying, nn.Module):
    """Cut each ranking into masked | visible.

    Args:
        ratio: share of patches to predict; a number, or a schedule of it (`mim.optim.number`).
        rounding: how the product becomes a count, in Python's float64 as published. `keep_down`
            keeps int(L * (1 - ratio)) (MAE), `mask_up` masks ceil(L * ratio) (SimMIM), `mask_down`
            masks int(L * ratio) (AttMask, AMT).
    """

    ratio: float

    def __init__(
        self,
        ratio: MaskRatio | NumberSchedule,
        rounding: Literal["keep_down", "mask_up", "mask_down"] = "keep_down",
    ):
        super().__init__()
        self.rounding = rounding
        self.vary(ratio=ratio)

    def check_numbers(self) -> None:
        """Refuse a ratio that hides nothing or everything."""
        refuse_outside("FixedRatio.ratio", self.ratio, MaskRatio)

    def masked_count(self, patches: int) -> int:
        """How many of `patches` are hidden.

        Raises:
            ValueError: where nothing would be hidden or nothing would be seen.
        """
        masked = {
            "keep_down": patches - int(patches * (1 - self.ratio)),
            "mask_up": math.ceil(patches * self.ratio),
            "mask_down": int(patches * self.ratio),
        }[self.rounding]
        if not 0 < masked < patches:
            raise ValueError(
                f"masking {self.ratio} of {patches} patches hides {masked} and shows "
                f"{patches - masked}; "
                "both must be at least 1: change masker.partition.ratio, or use smaller patches or "
                "a larger image"
            )
        return masked

    def forward(self, ranking: Ranking) -> Split:
        """rank (B, L), highest hidden first -> Split of one part (K = 1)."""
        masked = self.masked_count(ranking.rank.shape[1])
        order = ranking.rank.argsort(dim=1, descending=True)[:, None]  # (B, 1, L)
        return Split(visible=order[..., masked:], masked=order[..., :masked])
