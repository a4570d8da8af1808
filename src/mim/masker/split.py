"""Which patches are seen and which are predicted."""

from typing import NamedTuple

import torch
from torch import Tensor


class MaskedPatches(NamedTuple):
    """Masked patches of all images, one after another."""

    column: Tensor
    """(N,), where they stand among all B * Lm of the split."""
    number: Tensor
    """(N,), which of the B * L patches they are."""
    share: Tensor
    """(N,), what each counts in a mean over the masked patches of an image, then over images."""


class Split(NamedTuple):
    """Patch indices of each part; a patch in neither set is thrown and costs nothing anywhere.

    Where images keep different counts, the sets are padded to the longest and `*_valid` tells the
    padding apart, which comes last.
    """

    visible: Tensor
    """(B, K, Lv) int64."""
    masked: Tensor
    """(B, K, Lm) int64."""
    visible_valid: Tensor | None = None
    """(B, K, Lv) bool, or None: all valid."""
    masked_valid: Tensor | None = None
    """(B, K, Lm) bool, or None: all valid."""
    whole: bool = False
    """Whether every patch is visible or masked in each part, however many are padding; False where
    nobody knows.
    """
    shared: bool = False
    """Whether all parts show the same patches, which are then encoded once for all of them."""

    @property
    def context(self) -> tuple[Tensor, Tensor | None]:
        """Visible patches that are encoded, and which of them are no padding: of one part where all
        parts share them.
        """
        if not self.shared:
            return self.visible, self.visible_valid
        return self.visible[:, :1], None if self.visible_valid is None else self.visible_valid[
            :, :1
        ]

    def valid(self) -> Tensor | None:
        """What is not padding, masked patches first: (B, K, Lm + Lv), or None: all."""
        if self.visible_valid is None and self.masked_valid is None:
            return None
        sets = ((self.masked, self.masked_valid), (self.visible, self.visible_valid))
        return torch.cat(
            [torch.ones_like(i, dtype=torch.bool) if v is None else v for i, v in sets], dim=-1
        )

    def masked_patches(self, patches: int) -> MaskedPatches:
        """Those of each image's only part, of so many patches, without padding; an image in which
        nothing is masked counts as 0.

        The host waits for how many they are. Compiled code does not, since no shape may depend on
        a mask: there padding stays, and counts for nothing.
        """
        B, _, most = self.masked.shape
        number = self.masked[:, 0] + patches * torch.arange(B, device=self.masked.device)[:, None]
        valid = torch.ones_like(number) if self.masked_valid is None else self.masked_valid[:, 0]
        share = valid / (valid.sum(1, keepdim=True).clamp(min=1) * B)
        column = torch.arange(B * most, device=number.device)
        if self.masked_valid is not None and not torch.compiler.is_compiling():
            column = valid.flatten().nonzero()[:, 0]
        return MaskedPatches(column, number.flatten()[column], share.flatten()[column])

    def part(self, number: int) -> "Split":
        """One of the parts alone."""
        only = slice(number, number + 1)
        visible_valid, masked_valid = (
            None if valid is None else valid[:, only]
            for valid in (self.visible_valid, self.masked_valid)
        )
        return Split(
            self.visible[:, only],
            self.masked[:, only],
            visible_valid,
            masked_valid,
            self.whole,
            self.shared,
        )

    def throws(self, patches: int) -> bool:
        """Whether some of so many patches may be in neither set."""
        counted = self.visible_valid is None and self.masked_valid is None
        return not (
            self.whole or (counted and self.visible.shape[-1] + self.masked.shape[-1] == patches)
        )

    def hidden(self, patches: int) -> Tensor:
        """Which of so many patches are masked: (B, K, L) bool."""
        there = (
            torch.ones_like(self.masked)
            if self.masked_valid is None
            else self.masked_valid.to(self.masked.dtype)
        )
        none = self.masked.new_zeros(*self.masked.shape[:2], patches)
        # padding may name a patch that is masked
        return none.scatter_reduce(2, self.masked, there, "amax") > 0
