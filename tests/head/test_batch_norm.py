"""Batch norm over processes: with a batch that nobody shares, it is torch's own."""

import pytest
import torch
from torch import nn

from mim.head import batch_norm
from mim.head.batch_norm import PreciseBatchNorm, SharedBatchNorm


@pytest.mark.parametrize("kind", [SharedBatchNorm, PreciseBatchNorm])
def test_shared_statistics_are_those_of_the_whole_batch(monkeypatch, kind):
    """One process that believes it is one of several, whose sums are its own."""
    torch.manual_seed(0)
    x, probe = torch.randn(3, 4, 5, 6) * 2 + 7, torch.randn(3, 4, 5, 6)
    ours, theirs = kind(4), nn.BatchNorm2d(4)
    monkeypatch.setattr(batch_norm, "is_alone", lambda: False)
    monkeypatch.setattr(batch_norm, "sum_of_all", lambda value: value)
    outs = []
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        out = norm(given)
        (out * probe).sum().backward()
        outs.append(
            (out, given.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var)
        )
    for mine, other in zip(*outs, strict=True):
        assert torch.allclose(mine, other, atol=2e-5)
    assert ours.num_batches_tracked == 1
    monkeypatch.setattr(batch_norm, "sum_of_all", None)  # nobody is asked where nothing is learned
    assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-5)
