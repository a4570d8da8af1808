"""Hide salient patches first (SBAM, arXiv 2404.08327; doihye/SBAM, models_mae.py:
saliency_guided_masking).
"""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, uniform
from mim.masker.score.ranking import Ranking, min_max
from mim.ranges import NotNegative, in_range


def similarity(tokens: Tensor) -> Tensor:
    """X Xᵀ in float32: (B, L, D) -> (B, L, L).

    The softmax of it saturates, so rounding shows: a GPU that rounds the factors to TF32 moves
    salience by 5e-3. Each factor is split into a coarse half, which no rounding touches, and the
    small rest.
    """
    coarse = tokens.bfloat16().float()
    rest = tokens - coarse
    return coarse @ coarse.mT + coarse @ rest.mT + rest @ tokens.mT


def salience(tokens: Tensor) -> Tensor:
    """How much all patches attend to each, without learned projections: (B, L, D) -> (B, L) in [0,
    1], by float32 arithmetic.

    The column sums of softmax(X Xᵀ), smallest to 0 and largest to 1; 0 everywhere where patches do
    not differ.
    """
    with torch.autocast(tokens.device.type, enabled=False):
        return min_max(similarity(tokens.float()).softmax(dim=-1).sum(dim=1))


class Salience(nn.Module):
    """Rank by salience plus uniform noise.

    Args:
        noise: upper end of the noise, as a share of the range of salience; 0.5 as published, 0 for
            none.
    """

    needs_tokens = True

    @in_range
    def __init__(self, noise: NotNegative = 0.5):
        super().__init__()
        self.noise = noise

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor) -> Ranking:
        """B images and their embedded patches, positions included (B, L, D) -> ranking (B, L) and
        salience (B, L).
        """
        found = salience(tokens)
        return Ranking(found + self.noise * uniform(batch.key, found.shape[1], MASK), found)
