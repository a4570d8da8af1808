"""Batch norm over the images of all processes, as mmsegmentation trains UPerNet (SyncBN), on any
device.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from mim.all_processes import is_alone, sum_of_all


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm whose mean and variance are those of the whole batch, however many processes share
    it.

    torch's own SyncBatchNorm is for GPUs alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same."""
        return self._shared(x.float()).to(x.dtype) if self._shares() else super().forward(x)

    def _shares(self) -> bool:
        return self.training and not is_alone()

    def _shared(self, x: Tensor) -> Tensor:
        """Mean first, then squares about it: their difference from the mean's square would
        cancel.
        """
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        count = sum_of_all(x.new_tensor([x.numel() / x.shape[1]]))
        mean = sum_of_all(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        var = sum_of_all(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            unbiased = var * count / (count - 1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        scale = self.weight * (var + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


class PreciseBatchNorm(SharedBatchNorm):
    """The same in float64, for maps of a few places only: its gradient over the B values of 1 x 1
    maps cancels to nothing.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same, in its own precision."""
        if self._shares():
            return self._shared(x.double()).to(x.dtype)
        learns = self.training
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        mean, var = self.running_mean.double(), self.running_var.double()
        out = batch_norm(
            x.double(),
            mean,
            var,
            self.weight.double(),
            self.bias.double(),
            learns,
            self.momentum,
            self.eps,
        )
        if learns:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.copy_(mean)
            self.running_var.copy_(var)
        return out.to(x.dtype)
