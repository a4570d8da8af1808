"""Leave out padding that can be left out without knowing how much of it there is."""

from torch import Tensor


def pack(valid: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Of M tokens at most `most` are valid: choose that many, the valid ones first and in their
    order, then padding.

    Both sets of a padded split together are longer than the grid, but no patch is valid in both:
    what is cut off is padding. The shape depends on no tensor's values, so the host does not wait.

    Args:
        valid: (B, M) bool.
        most: n, the number of valid tokens in the fullest row, or more.

    Returns:
        Indices of the chosen tokens (B, n), and which of them are valid (B, n).
    """
    order = valid.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    return order, valid.gather(1, order)
