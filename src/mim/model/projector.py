"""Projection of a vector of each image to where images are compared (CMAE, arXiv 2207.13532,
section 3.2).
"""

import torch
from torch import Tensor, nn

from mim.all_processes import is_alone, mean_of_all
from mim.precision import at_least_single
from mim.ranges import Count, Positive


class BatchNorm(nn.Module):
    """Batch norm over the images of all processes, by the statistics of the batch in evaluation
    mode as well.

    It keeps no running ones: whoever compares images of a batch has the batch, and a teacher's are
    its own (ZhichengHuang/CMAE: SyncBN, in training mode in both branches). In at least float32.

    Args:
        width: channels.
        eps: added to the variance, which is the biased one.
    """

    def __init__(self, width: Count, eps: Positive = 1e-6):
        super().__init__()
        self.weight, self.bias, self.eps = (
            nn.Parameter(torch.ones(width)),
            nn.Parameter(torch.zeros(width)),
            eps,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        x = at_least_single(x)
        if is_alone():  # the same in one operation
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            return torch.batch_norm(x, weight, bias, None, None, True, 0.0, self.eps, x.is_cuda)
        x = x - mean_of_all(x.mean(0))
        return x * (mean_of_all(x.square().mean(0)) + self.eps).rsqrt() * self.weight + self.bias


class Projector(nn.Sequential):
    """Two layers with a batch norm between them (ZhichengHuang/CMAE, necks/nonlinear_neck.py); the
    last has no bias.

    Args:
        width: channels of what is given.
        hidden: channels between the layers.
        out: channels of the projection.
    """

    def __init__(self, width: Count, hidden: Count = 1536, out: Count = 256):
        super().__init__(
            nn.Linear(width, hidden),
            BatchNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, out, bias=False),
        )
