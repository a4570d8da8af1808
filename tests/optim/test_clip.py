"""Gradients cut down one by one."""

import pytest
import torch
from torch import nn

from mim.optim.clip import ClipEachParameter


def test_each_gradient_is_cut_to_the_norm_by_itself_and_a_shorter_one_stays():
    """iBOT, utils.py: clip_gradients multiplies by clip / (norm + 1e-6) where that is below 1."""
    long, short, none = (nn.Parameter(torch.zeros(4)) for _ in range(3))
    long.grad, short.grad = torch.full((4,), 3.0), torch.full((4,), 0.25)
    ClipEachParameter(3.0)([long, short, none])
    assert long.grad.tolist() == pytest.approx([3 * 3 / (6 + 1e-6)] * 4)
    assert short.grad.tolist() == [0.25] * 4
    assert none.grad is None
