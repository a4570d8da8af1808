"""Tokens that a teacher makes of masked patches alone: alignment (CAE, arXiv 2202.03026, 3.1)."""

import torch
from torch import Tensor, nn

from mim.masker.split import Split
from mim.precision import at_least_single
from mim.teacher.teacher import Teacher


class MaskedFeatures(nn.Module):
    """Tokens of masked patches that leave a teacher, which sees these patches and no others.

    They passed its final norm. The paper's teacher is the encoder itself: teacher=itself. What
    leaves a teacher that sees whole images is target=features.
    """

    needs_teacher = True
    dim = None

    @torch.no_grad()
    def forward(self, image: Tensor, split: Split, teacher: Teacher) -> Tensor:
        """Images (B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, D), at least float32."""
        (left,) = teacher(
            image, [teacher.depth], index=split.masked, valid=split.masked_valid, normed=True
        )
        return at_least_single(left[:, teacher.prefix :]).unflatten(0, split.masked.shape[:2])
