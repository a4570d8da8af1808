"""Leave out padding that can be left out without knowing how much of it there is."""

import torch
from torch import Tensor


def pack(valid: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Of M tokens at most `most` are valid: choose that many, padding first, the valid ones last and in their order.

    Both sets of a padded split together are longer than the grid, but no patch is valid in both: what is cut off is padding.
    The shape depends on no tensor's values, so the host does not wait.

    Args:
        valid: (B, M) bool.
        most: n, the number of valid tokens in the fullest row, or more.

    Returns:
        Indices of the chosen tokens (B, n), and where each token went (B, M): 0 for those left out.
    """
    M = valid.shape[1]
    order = valid.byte().argsort(dim=1, stable=True)  # (B, M)
    place = torch.arange(M, device=valid.device).expand_as(order)
    place = torch.empty_like(order).scatter(1, order, place) - max(0, M - most)
    return order[:, -most:], place.clamp(min=0)
