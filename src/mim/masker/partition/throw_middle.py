"""Mask the top of the ranking, drop the middle, show the bottom (AMT, arXiv 2211.15362; CrossMAE,
arXiv 2401.14391).
"""

import math
from typing import Annotated, Literal

from torch import nn

from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.ranges import Fraction, Rate


class ThrowMiddle(nn.Module):
    """Cut each ranking into masked | thrown | visible.

    Thrown patches reach neither encoder nor decoder: that is the speed-up.

    Args:
        mask_ratio: share of patches to predict, from the top of the ranking.
        throw_ratio: share of patches to drop.
        throw: the `middle` of the ranking, or its `low` end, which leaves the middle visible (the
            paper's ablation).
        rounding: `down` masks int(L * mask_ratio) and hides int(L * (mask_ratio + throw_ratio))
            (AMT with MAE), `up` masks ceil(L * mask_ratio) and throws ceil(L * throw_ratio) (AMT
            with SimMIM), `keep_down` shows int(L * (1 - mask_ratio - throw_ratio)), throws int(L *
            throw_ratio) and masks the rest (CrossMAE).
    """

    def __init__(
        self,
        mask_ratio: Annotated[Fraction, "e.g. 0.45"],
        throw_ratio: Rate,
        throw: Literal["middle", "low"] = "middle",
        rounding: Literal["down", "up", "keep_down"] = "down",
    ):
        super().__init__()
        if not (mask_ratio > 0 and throw_ratio >= 0 and mask_ratio + throw_ratio < 1):
            raise ValueError(
                f"ThrowMiddle got mask_ratio={mask_ratio}, throw_ratio={throw_ratio}; needs "
                "mask_ratio > 0, "
                "throw_ratio >= 0 and a sum below 1, so that some patches stay visible. "
                "Lower one of them, e.g. masker.partition.throw_ratio=0.4"
            )
        self.mask_ratio, self.throw_ratio = mask_ratio, throw_ratio
        self.throw, self.rounding = throw, rounding

    def counts(self, patches: int) -> tuple[int, int]:
        """How many of `patches` are masked and thrown.

        Raises:
            ValueError: where nothing would be masked or nothing would be seen.
        """
        m, t = self.mask_ratio, self.throw_ratio
        masked, thrown = {
            "down": (int(patches * m), int(patches * (m + t)) - int(patches * m)),
            "up": (math.ceil(patches * m), math.ceil(patches * t)),
            "keep_down": (
                patches - int(patches * (1 - (m + t))) - int(patches * t),
                int(patches * t),
            ),
        }[self.rounding]
        if masked < 1 or masked + thrown >= patches:
            raise ValueError(
                f"masking {m} and throwing {t} of {patches} patches hides {masked}, throws "
                f"{thrown} and shows "
                f"{patches - masked - thrown}; at least 1 must be masked and 1 seen: change "
                "masker.partition.mask_ratio or "
                "masker.partition.throw_ratio, or use smaller patches or a larger image"
            )
        return masked, thrown

    def forward(self, ranking: Ranking) -> Split:
        """rank (B, L), highest hidden first -> Split of one part (K = 1)."""
        L = ranking.rank.shape[1]
        masked, thrown = self.counts(L)
        order = ranking.rank.argsort(dim=1, descending=True)[:, None]  # (B, 1, L)
        visible = (
            order[..., masked + thrown :]
            if self.throw == "middle"
            else order[..., masked : L - thrown]
        )
        return Split(visible, masked=order[..., :masked])
