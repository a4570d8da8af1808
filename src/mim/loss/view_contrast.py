"""Views of one image are told from those of all others (MoCo v3, arXiv 2104.02057, algorithm 1)."""

import torch
from torch import Tensor, nn

from mim.loss.contrast import keys_of_all, told_apart
from mim.ranges import Count, Positive, in_range
from mim.views import Seen, Shown


class ViewContrast(nn.Module):
    """Cross entropy of finding, by the cosine over a temperature, what a teacher makes of another
    view of the same image.

    Among those of all images of a step and all processes, not of accumulated batches. Summed over
    the ordered pairs of views, and times twice the temperature (facebookresearch/moco-v3,
    moco/builder.py: contrastive_loss).

    Args:
        out: P, values that student and teacher make of a view.
        temperature: what cosines are divided by.

    Raises:
        ValueError: where the temperature is none.
    """

    @in_range
    def __init__(self, out: Count = 256, temperature: Positive = 0.2):
        super().__init__()
        self.out, self.temperature = out, temperature

    def forward(self, made: Shown, seen: Seen) -> Tensor:
        """What a student made of views (V, B, P), and a teacher of those it saw (V', B, P) ->
        scalar.
        """
        terms = []
        for number, key in enumerate(seen.cls):
            keys, first = keys_of_all(key)
            own = first + torch.arange(len(key), device=key.device)
            for other, vector in enumerate(made.cls):
                if other != number:
                    terms.append(told_apart(vector, keys, own, self.temperature))
        return 2 * self.temperature * torch.stack(terms).sum()
