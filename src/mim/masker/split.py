"""Which patches are seen and which are predicted."""

from typing import NamedTuple

import torch
from torch import Tensor


class Split(NamedTuple):
    """Patch indices of each part; a patch in neither set is thrown and costs nothing anywhere.

    Where images keep different counts, the sets are padded to the longest and `*_valid` tells the padding apart, which comes last.
    """

    visible: Tensor
    """(B, K, Lv) int64."""
    masked: Tensor
    """(B, K, Lm) int64."""
    visible_valid: Tensor | None = None
    """(B, K, Lv) bool, or None: all valid."""
    masked_valid: Tensor | None = None
    """(B, K, Lm) bool, or None: all valid."""

    def valid(self) -> Tensor | None:
        """What is not padding, masked patches first: (B, K, Lm + Lv), or None: all."""
        if self.visible_valid is None and self.masked_valid is None:
            return None
        sets = ((self.masked, self.masked_valid), (self.visible, self.visible_valid))
        return torch.cat([torch.ones_like(i, dtype=torch.bool) if v is None else v for i, v in sets], dim=-1)
