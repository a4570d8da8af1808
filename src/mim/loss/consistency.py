"""Parts of one image should agree on what they both cannot see (EMAE, arXiv 2302.14431,
self-consistency learning).

For a patch that n parts predict, the sum over ordered pairs keeps no pair:

    sum_{i != j} |a_i - a_j|    = 2 sum_i a_i s_i
    sum_{i != j} (a_i - a_j)**2 = 2 n sum_i (a_i - mean a)**2

where s_i = sum_j sign(a_i - a_j), which sums to 0 over i.

In both, all but the a_i written out may be held constant without changing the gradient: the
derivative of the first is 2 s_i, that of the second 4 n (a_i - mean a). Memory grows with K, not
with its square.

What EMAE means by "pure self-consistency", a row of its ablation that beats pixels alone, is
unsettled: no code is public, and what could be read gives no formula. It cannot be this term alone:
a prediction that is the same for all images makes it 0, whether one side is held constant or not,
and the encoder collapses. 40 epochs on the digits (train.py masker=emae loss=emae epochs=40, seed
0) end with a k-NN of 0.504 from this term alone (loss.weight.pixel=0), 0.867 from pixels alone,
0.653 from both; the untrained encoder has 0.669. To compare each part with the image as another
completes it, pixels where that one sees and predictions elsewhere, would not collapse: about
loss.weight.pixel=0.333 loss.weight.consistency=0.667 (0.762). That is a guess of ours, not the
paper's.
"""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from mim.geometry import Geometry, grid_of
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.tokens import take


class Consistency(nn.Module):
    """Mean difference between the predictions of two parts for a patch that both had masked, over
    ordered pairs.

    Averaged over the pairs, patches and values of each image, then over images. With parallel parts
    every pair shares equally many patches, and this is also the mean over pairs of their means.

    Args:
        error: "l1" takes the absolute difference (EMAE), "l2" squares it.
        stop_gradient: hold one side of each ordered pair constant. The value is the same, the
            gradient exactly half.
        of: the term whose predictions are compared.
        geometry: of the images; None until `fit` gives the encoder's.
    """

    def __init__(
        self,
        error: Literal["l1", "l2"] = "l1",
        stop_gradient: bool = True,
        of: str = "pixel",
        geometry: Geometry | None = None,
    ):
        super().__init__()
        self.error, self.stop_gradient, self.of, self.geometry = error, stop_gradient, of, geometry

    def fit(self, geometry: Geometry) -> None:
        """Take the geometry of the encoder's images."""
        self.geometry = geometry

    def forward(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, C, H, W) and the masked indices (B, K, Lm) -> scalar; padding counts
        for nothing.

        Raises:
            ValueError: where there is one part only.
        """
        if prediction.shape[1] < 2:
            raise ValueError(
                "Consistency compares what several parts of an image predict, and this masker "
                "makes 1; "
                "use masker/partition=parallel_parts, or loss=pixel"
            )
        assert self.geometry is not None, "fit gives the geometry"
        rows, columns = grid_of((image.shape[2], image.shape[3]), self.geometry.patch_size)
        L, prediction = rows * columns, at_least_single(prediction)
        place = (
            split.masked
            if split.masked_valid is None
            else split.masked.where(split.masked_valid, L)
        )
        there = _by_patch(prediction.detach(), place, L)
        n = (~there[..., :1].isnan()).sum(1)  # (B, L + 1, 1): how many parts predict each patch
        pairs = (n * (n - 1)).sum((1, 2)) * prediction.shape[3]  # (B,)
        if self.error == "l1":
            slope = take(_signs(there).flatten(0, 1), place.flatten(0, 1)[:, None]).view_as(
                prediction
            )
            error = prediction * slope
        else:
            mean = take(there.nansum(1) / n.clamp(min=1), place)
            error = (prediction - mean).square() * take(n, place)
        loss = (2 * error.sum((1, 2, 3)) / pairs.clamp(min=1)).mean()
        return (loss + loss.detach()) / 2 if self.stop_gradient else loss


def _by_patch(prediction: Tensor, place: Tensor, L: int) -> Tensor:
    """(B, K, Lm, P) at places (B, K, Lm) -> (B, K, L + 1, P), NaN where nothing is predicted; place
    L is for padding.
    """
    B, K, _, P = prediction.shape
    there = prediction.new_full((B, K, L + 1, P), float("nan"))
    row = place + torch.arange(B * K, device=place.device).view(B, K, 1) * (L + 1)
    there.view(-1, P).index_copy_(0, row.flatten(), prediction.flatten(0, 2))
    there[:, :, L] = float("nan")
    return there


def _signs(there: Tensor) -> Tensor:
    """How many others each prediction exceeds, less how many exceed it: (B, K, L, P) -> the same;
    NaN is compared to none.

    One pair at a time is the fastest on a CPU, where it stays in the cache; ranks by sorting take
    five times as long.
    """
    signs = torch.zeros_like(there)
    for i, j in combinations(range(there.shape[1]), 2):
        sign = (there[:, i] - there[:, j]).sign_()  # 0 where either is NaN
        signs[:, i] += sign
        signs[:, j] -= sign
    return signs
