"""Hide more of images with much to see (the adaptive masking ratio of SBAM, arXiv 2404.08327)."""

from typing import Literal

import torch
from torch import Tensor, nn

from mim.masker.partition.fixed_ratio import MaskRatio
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.optim.number import NumberSchedule, Varying
from mim.ranges import Rate, in_range


class AdaptiveRatio(Varying, nn.Module):
    """The ratio follows the salience S: R = ratio - spread + 2 * spread * mean(1[S > threshold]).

    The sets have the lengths of the two extreme ratios, whatever the images: no shape depends on
    what a tensor holds, so the host never waits and nothing compiles twice. Padding repeats patches
    of the other set and is marked as not valid.

    Args:
        ratio: share of patches to predict where half of the patches are salient; a number, or a
            schedule of it.
        spread: by how much the ratio may differ from it; likewise.
        threshold: salience above which a patch counts.
        per: every `image` has its own ratio (the paper), or all of a process's `batch` have their
            mean (the release).
    """

    ratio: float
    spread: float

    @in_range
    def __init__(
        self,
        ratio: MaskRatio | NumberSchedule = 0.75,
        spread: Rate | NumberSchedule = 0.1,
        threshold: Rate = 0.1,
        per: Literal["image", "batch"] = "image",
    ):
        super().__init__()
        self.vary(ratio=ratio, spread=spread)
        self.threshold, self.per = threshold, per

    def check_numbers(self) -> None:
        """Refuse ratios that hide nothing or everything of some image."""
        if not (self.spread >= 0 and self.ratio - self.spread > 0 and self.ratio + self.spread < 1):
            raise ValueError(
                f"AdaptiveRatio got ratio={self.ratio}, spread={self.spread}; needs 0 < ratio - "
                "spread and "
                "ratio + spread < 1, e.g. masker.partition.ratio=0.75 masker.partition.spread=0.1"
            )

    def ratios(self, salience: Tensor) -> Tensor:
        """Salience (B, L) -> the share of each image to predict (B,): float64 per image, float32
        per batch as published.
        """
        share = (salience > self.threshold).sum(dim=1).double() / salience.shape[1]
        ratio = self.ratio - self.spread + 2 * self.spread * share
        return ratio if self.per == "image" else ratio.float().mean().expand(len(ratio))

    def visible_range(self, patches: int) -> tuple[int, int]:
        """Fewest and most patches that any image may show.

        Raises:
            ValueError: where some image would show nothing or hide nothing.
        """
        fewest, most = (
            int(patches * (1 - r)) for r in (self.ratio + self.spread, self.ratio - self.spread)
        )
        if fewest < 1 or most >= patches:
            raise ValueError(
                f"masking {self.ratio} +- {self.spread} of {patches} patches shows {fewest} to "
                f"{most}; at least 1 must be "
                "seen and 1 hidden: change masker.partition.ratio, or use smaller patches or a "
                "larger image"
            )
        # int(L * (1 - R)) in float32, as released, can be one off
        slack = 0 if self.per == "image" else 1
        return max(1, fewest - slack), min(patches - 1, most + slack)

    def forward(self, ranking: Ranking) -> Split:
        """rank and salience (B, L) -> Split of one part (K = 1), padded. A score that knows no
        salience gets `ratio` itself.
        """
        rank, salience = ranking.rank, ranking.salience
        L = rank.shape[1]
        fewest, most = self.visible_range(L)
        ratio = (
            rank.new_full((len(rank),), self.ratio, dtype=torch.float64)
            if salience is None
            else self.ratios(salience)
        )
        visible = (L * (1 - ratio)).long().clamp(fewest, most)[:, None, None]  # (B, 1, 1)
        order = rank.argsort(dim=1)[:, None]  # (B, 1, L), shown first
        place = torch.arange(L, device=rank.device)
        return Split(
            visible=order[..., :most],
            masked=order.flip(-1)[..., : L - fewest],
            visible_valid=place[:most] < visible,
            masked_valid=place[: L - fewest] < L - visible,
            whole=True,
        )
