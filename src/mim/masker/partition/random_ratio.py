"""Draw the ratio of a mask, and leave some images whole (AttMask, arXiv 2203.12719; iBOT, arXiv
2111.07832, loader.py).
"""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mim.draw import HINT, RATIO, keys, uniform
from mim.masker.score.ranking import Ranking
from mim.masker.split import Split
from mim.optim.number import NumberSchedule, Varying
from mim.part import Progress
from mim.ranges import Fraction, Rate, Seed, in_range


class RandomRatio(Varying, nn.Module):
    """Mask int(L * r) patches of the top of each ranking, with r uniform in [ratio - spread, ratio
    + spread].

    AttMask's release (gkakogeorgiou/attmask, loader.py: get_pred_ratio; attmask.py: AttMask) draws
    r once a batch, and masks an image at all with probability 1/2; iBOT draws r for each image.
    With hints, int(L * hints_from * r') patches of the int(L * hints_from) highest ranked are taken
    out of the mask again, where r' is another draw of the ratio (AttMask-Hint): 1 to 9 of 196,
    drawn uniformly. A hint that was not masked changes nothing.

    The sets have the lengths of the extreme ratios, so no shape depends on a draw. Padding repeats
    patches of the other set.

    Args:
        ratio: middle of the range; a number, or a schedule of it (`mim.optim.number`).
        spread: half of its width; likewise.
        unmasked: probability that an image stays whole.
        hints_from: share of all patches, the highest ranked, among which hints are drawn; 0 for no
            hints.
        per: every `image` draws its own ratios, or all of a `batch`, the step of all processes and
            accumulated batches together, have one (AttMask's release: of one process). The draw of
            a step follows from `seed` and the step, so it does not depend on how images are split
            up. Outside of training images draw their own.
        seed: of the draws of steps.
    """

    step: Tensor
    ratio: float
    spread: float

    @in_range
    def __init__(
        self,
        ratio: Annotated[Fraction, "e.g. 0.3"] | NumberSchedule = 0.3,
        spread: Rate | NumberSchedule = 0.2,
        unmasked: Rate = 0.5,
        hints_from: Rate = 0.0,
        per: Literal["image", "batch"] = "image",
        seed: Seed = 0,
    ):
        super().__init__()
        self.vary(ratio=ratio, spread=spread)
        self.unmasked, self.hints_from = unmasked, hints_from
        self.per, self.seed = per, seed
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)

    def check_numbers(self) -> None:
        """Refuse ratios that hide nothing or everything of some image."""
        if not (self.spread >= 0 and self.ratio - self.spread > 0 and self.ratio + self.spread < 1):
            raise ValueError(
                f"RandomRatio got ratio={self.ratio}, spread={self.spread}; needs spread >= 0, "
                "ratio - spread > 0 and "
                "ratio + spread < 1, e.g. masker.partition.ratio=0.3 masker.partition.spread=0.2"
            )

    def begin_step(self, progress: Progress) -> None:
        """Remember the step; a tensor holds it, so that compiled code is not compiled again."""
        super().begin_step(progress)
        self.step.fill_(progress.step)

    def draw(self, key: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The ratio of the mask and that of the hints (B,) float64, and which images are masked
        (B,) bool: keys (B,) -> those.
        """
        draws = uniform(key, 3, RATIO).double()
        image, ratios = draws[:, 0], draws[:, 1:]
        if self.per == "batch" and self.training:  # -2 is no epoch: no image has the key of a step
            ratios = (
                uniform(keys(self.seed, -2, self.step[None]), 2, RATIO).double().expand_as(ratios)
            )
        mask, hint = (self.ratio - self.spread + 2 * self.spread * ratios).unbind(1)
        return mask, hint, image >= self.unmasked

    def masked_range(self, patches: int) -> tuple[int, int]:
        """Fewest and most patches of an image that has a mask, before hints are taken out.

        Raises:
            ValueError: where a mask could be empty.
        """
        fewest, most = (
            int(patches * r) for r in (self.ratio - self.spread, self.ratio + self.spread)
        )
        if fewest < 1:
            raise ValueError(
                f"masking {self.ratio} +- {self.spread} of {patches} patches hides {fewest} to "
                f"{most}; at least 1 must be: "
                "change masker.partition.ratio, or use smaller patches or a larger image"
            )
        return fewest, most

    def forward(self, ranking: Ranking) -> Split:
        """rank (B, L) and keys (B,) -> Split of one part (K = 1), padded; in some images nothing is
        masked.
        """
        rank, key = ranking.rank, ranking.key
        assert key is not None, "a masker gives its partition the keys"
        L = rank.shape[1]
        fewest, most = self.masked_range(L)
        mask, hint, masked_at_all = self.draw(key)
        count = (L * mask).long().clamp(fewest, most) * masked_at_all
        among = int(L * self.hints_from)
        hints = (L * (self.hints_from * hint)).long() if among else torch.zeros_like(count)

        order = rank.argsort(dim=1, descending=True)  # (B, L), masked first
        place = torch.arange(L, device=rank.device)
        masked = place < count[:, None]
        if among:
            # (B, among), a random order of the candidates
            turn = uniform(key, among, HINT).argsort(dim=1).argsort(dim=1)
            masked[:, :among] &= turn >= hints[:, None]
        # (B, 1, L)
        order = order.gather(1, masked.byte().argsort(dim=1, descending=True, stable=True))[:, None]
        total = masked.sum(dim=1)[:, None, None]
        shown = (
            L
            if self.unmasked
            else L - fewest + min(fewest, int(L * (self.hints_from * (self.ratio + self.spread))))
        )
        return Split(
            visible=order.flip(-1)[..., :shown],
            masked=order[..., :most],
            visible_valid=place[:shown] < L - total,
            masked_valid=place[:most] < total,
            whole=True,
        )
