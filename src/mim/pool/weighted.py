"""Patches averaged by attention that something else has paid them."""

from torch import Tensor


def weighted(patches: Tensor, attention: Tensor) -> Tensor:
    """The mean of patches (B, L, D), weighted by attention to them (B, L), whatever that sums to -> (B, D)."""
    weight = attention / attention.sum(dim=1, keepdim=True)
    return (weight[:, None].to(patches.dtype) @ patches)[:, 0]
