"""Contrast of images: each is told from others by what a teacher makes of another view (CMAE, arXiv
2207.13532, section 3.3).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from mim.all_processes import rows_of_all
from mim.batch import Batch
from mim.precision import at_least_single
from mim.ranges import Positive, in_range
from mim.teacher.teacher import Teacher


def told_apart(vector: Tensor, keys: Tensor, own: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each vector's own key by the cosine over a temperature (InfoNCE).

    Vectors (N, P), keys (M, P) of length 1, and which of them each is to find (N,) -> scalar.
    """
    cosine = normalize(at_least_single(vector), dim=-1) @ keys.T
    return cross_entropy(cosine / temperature, own)


def keys_of_all(key: Tensor) -> tuple[Tensor, int]:
    """Keys of all processes (B, P) -> (W * B, P), of length 1, and the number of the first own one;
    no gradient passes.
    """
    return rows_of_all(normalize(at_least_single(key), dim=-1))


class Contrast(nn.Module):
    """Cross entropy of telling an image's second view, as the teacher projects it, from those of
    all images of a batch.

    Similarity is the cosine over the temperature (InfoNCE). The whole is times twice the
    temperature, as in MoCo v3 and in CMAE's release (ZhichengHuang/CMAE, heads/cmae_head.py): 0.14
    at the published 0.07. Images of all processes are told apart; those of accumulated batches are
    not.

    Args:
        temperature: what cosines are divided by.
        through: module of the student's that the teacher averages, and projects the mean of its
            patches with.
    """

    @in_range
    def __init__(self, temperature: Positive = 0.07, through: str = "projector"):
        super().__init__()
        self.temperature, self.through = temperature, through

    def forward(self, vector: Tensor, batch: Batch, teacher: Teacher) -> Tensor:
        """What a student makes of first views (B, K, P), and the batch of both views -> scalar.

        Raises:
            ValueError: where there is one view.
        """
        if len(batch.views) < 2:
            side = batch.image.shape[-1]
            raise ValueError(
                "the loss contrasts two views of an image, and the batch has one; add "
                "augment@data.augment=shifted_pair "
                f"(for {side} pixels data.augment.margin={side // 7} "
                f"data.augment.shift={side // 7})"
            )
        with torch.no_grad():
            (key,) = teacher(batch.views[1].image, [teacher.depth], self.through)
            keys, first = keys_of_all(key)
        B, K, _ = vector.shape
        own = first + torch.arange(B, device=vector.device).repeat_interleave(K)
        return 2 * self.temperature * told_apart(vector.flatten(0, 1), keys, own, self.temperature)
