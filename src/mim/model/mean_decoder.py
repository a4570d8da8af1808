"""MAE's decoder whose predictions for all patches are averaged: a vector of each image (CMAE, arXiv
2207.13532).
"""

import torch
from torch import Tensor

from mim.masker.split import Split
from mim.model.decoder import Decoder


class MeanDecoder(Decoder):
    """Decode visible and masked patches, and predict their mean: that of the predictions, as the
    last layer is linear.
    """

    def forward(self, latent: Tensor, split: Split, grid: tuple[int, int] | None = None) -> Tensor:
        """Encoded tokens, prefix first (B * K, R + Lv, D), and where they stand -> predictions (B,
        K, P).
        """
        x, bias, order = self.enter(latent, split, grid)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x)
        patch = self._patches(split, latent.shape[1] - split.visible.shape[-1])
        if order is not None:
            patch = patch.gather(1, order)
        mean = (x * patch[..., None]).sum(1) / patch.sum(1, keepdim=True)
        return self.predict(mean).unflatten(0, split.masked.shape[:2])

    def _patches(self, split: Split, prefix: int) -> Tensor:
        """Which tokens are patches and no padding: (B * K, Lm + prefix + Lv) bool."""
        both = torch.cat([split.masked, split.visible], dim=-1)
        there, valid = torch.ones_like(both, dtype=torch.bool), split.valid()
        there = (there if valid is None else valid).flatten(0, 1)
        Lm = split.masked.shape[-1]
        return torch.cat([there[:, :Lm], there.new_zeros(len(there), prefix), there[:, Lm:]], dim=1)
