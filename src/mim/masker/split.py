"""Which patches are seen and which are predicted."""

from typing import NamedTuple

from torch import Tensor


class Split(NamedTuple):
    """Patch indices of each part; a patch in neither set is thrown and costs nothing anywhere.

    Where images keep different counts, the sets are padded to the longest and `*_valid` tells the padding apart.
    """

    visible: Tensor
    """(B, K, Lv) int64."""
    masked: Tensor
    """(B, K, Lm) int64."""
    visible_valid: Tensor | None = None
    """(B, K, Lv) bool, or None: all valid."""
    masked_valid: Tensor | None = None
    """(B, K, Lm) bool, or None: all valid."""
