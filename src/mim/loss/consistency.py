"""Parts of one image should agree on what they both cannot see (EMAE, arXiv 2302.14431, self-consistency learning).

For a patch that n parts predict, the sum over ordered pairs needs no pair in memory:

    sum_{i != j} |a_i - a_j|    = 2 sum_i a_i s_i             where s_i = sum_j sign(a_i - a_j), which sums to 0 over i
    sum_{i != j} (a_i - a_j)**2 = 2 n sum_i (a_i - mean a)**2

In both, all but the a_i written out may be held constant without changing the gradient: the derivative of the first is
2 s_i, that of the second 4 n (a_i - mean a). Memory grows with K, not with its square.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mim.loss.precision import at_least_single
from mim.masker.split import Split
from mim.tokens import grid_of


class Consistency(nn.Module):
    """Mean difference between the predictions of two parts for a patch that both had masked, over ordered pairs.

    Averaged over the pairs, patches and values of each image, then over images. With parallel parts every pair shares
    equally many patches, and this is also the mean over pairs of their means.

    Args:
        patch_size: pixels per side of a patch.
        norm: "l1" takes the absolute difference (EMAE), "l2" squares it.
        stop_gradient: hold one side of each ordered pair constant. The value is the same, the gradient exactly half.
    """

    target_dim = None  # any number of values can be compared; another term of a sum says how many

    def __init__(self, patch_size: int, norm: Literal["l1", "l2"] = "l1", stop_gradient: bool = True):
        super().__init__()
        self.patch_size, self.norm, self.stop_gradient = patch_size, norm, stop_gradient

    def forward(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, 3, H, W) and the masked indices (B, K, Lm) -> scalar; padding counts for nothing.

        Raises:
            ValueError: where there is one part only.
        """
        if prediction.shape[1] < 2:
            raise ValueError(
                "Consistency compares what several parts of an image predict, and this masker makes 1; "
                "use masker/partition=parallel_parts, or loss=pixel"
            )
        rows, columns = grid_of((image.shape[2], image.shape[3]), self.patch_size)
        prediction = at_least_single(prediction)
        with torch.no_grad():
            there, present = _by_patch(prediction, split, rows * columns)
            n = present.sum(1)  # (B, L, 1): how many parts predict each patch
            mean = there.sum(1) / n.clamp(min=1)  # (B, L, P)
            pairs = (n * (n - 1)).sum((1, 2)) * prediction.shape[3]  # (B,)
            slope = _signs(there, present) if self.norm == "l1" else None

        apart = prediction - _at_masked(mean[:, None], split)
        if split.masked_valid is not None:
            apart = apart * split.masked_valid[..., None]
        if slope is not None:
            total = 2 * (apart * _at_masked(slope, split)).sum((1, 2, 3))
        else:
            total = 2 * (apart.square() * _at_masked(n[:, None], split)).sum((1, 2, 3))
        loss = (total / pairs.clamp(min=1)).mean()
        return (loss + loss.detach()) / 2 if self.stop_gradient else loss


def _by_patch(prediction: Tensor, split: Split, patches: int) -> tuple[Tensor, Tensor]:
    """(B, K, Lm, P) -> the same by place (B, K, L, P), 0 where nothing is predicted, and where something is (B, K, L, 1)."""
    index = split.masked if split.masked_valid is None else split.masked.where(split.masked_valid, patches)
    B, K, _, P = prediction.shape
    there = prediction.new_zeros(B, K, patches + 1, P).scatter_(2, index[..., None].expand_as(prediction), prediction)
    present = prediction.new_zeros(B, K, patches + 1, 1).scatter_(2, index[..., None], 1.0)
    return there[:, :, :patches], present[:, :, :patches]  # the last place took the padding


def _signs(there: Tensor, present: Tensor) -> Tensor:
    """By how many parts each prediction exceeds the others, less by how many it falls short: (B, K, L, P) -> the same."""
    signs = torch.zeros_like(there)
    for other in range(there.shape[1]):
        signs += (there - there[:, other : other + 1]).sign_() * present[:, other : other + 1]
    return signs


def _at_masked(by_patch: Tensor, split: Split) -> Tensor:
    """What stands at the masked places: (B, K or 1, L, P) -> (B, K, Lm, P)."""
    B, K, Lm = split.masked.shape
    by_patch = by_patch.expand(B, K, -1, -1)
    return by_patch.gather(2, split.masked[..., None].expand(B, K, Lm, by_patch.shape[3]))
