"""SimMIM: the mask token enters before the encoder, and a linear layer predicts (arXiv 2111.09886)."""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.model.packing import pack
from mim.model.reconstruction import Reconstruction
from mim.tokens import take


class SimMIM(nn.Module):
    """An encoder that sees visible patches and, in place of the masked ones, mask tokens; one linear layer predicts.

    Patches that the masker throws are neither: they cost nothing.

    Args:
        encoder: embeds, places and encodes patches.
        masker: decides which patches are visible and which are masked.
        target_dim: values per patch that the loss asks for.
    """

    def __init__(self, encoder: ViT | Beit | Swin, masker: Masker, target_dim: int):
        super().__init__()
        self.encoder, self.masker = encoder, masker
        self.mask_token = encoder.new_token()
        self.decoder = nn.Linear(encoder.width, target_dim)

    def forward(self, batch: Batch) -> Reconstruction:
        """Images (B, 3, H, W) -> predictions (B, K, Lm, P) of the patches that the masker hid."""
        if self.masker.needs_tokens:
            tokens = self.encoder.embed(batch.image)  # (B, L, D)
            split = self.masker(batch, self.encoder.grid, tokens.detach())
            visible = take(tokens, split.visible)
        else:
            split = self.masker(batch, self.encoder.grid)
            visible = self.encoder.embed(batch.image, split.visible)
        B, K, Lm = split.masked.shape
        masked = self.encoder.place(self.mask_token, split.masked).to(visible.dtype)
        tokens = torch.cat([visible, masked], dim=2).flatten(0, 1)  # (B * K, Lv + Lm, D)
        index = torch.cat([split.visible, split.masked], dim=2).flatten(0, 1)
        valid = split.valid()
        if valid is None:
            latent = self.encoder.encode(tokens, index)[:, -Lm:]
        else:
            latent = self._encode_packed(tokens, index, valid.flatten(0, 1))[:, -Lm:]
        return Reconstruction(self.decoder(latent).unflatten(0, (B, K)), split)

    def _encode_packed(self, tokens: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """Tokens, where they stand and which are no padding (B, M) -> (B, M, D); what comes back for padding means nothing."""
        rows, columns = self.encoder.grid
        order, place = pack(valid, most=rows * columns)
        chosen = take(tokens, order[:, None])[:, 0]
        latent = self.encoder.encode(chosen, index.gather(1, order), valid.gather(1, order))
        return take(latent[:, 1:], place[:, None])[:, 0]

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: what the encoder says, of itself and of the mask token."""
        names = self.encoder.no_weight_decay()
        return {*names, *(f"encoder.{name}" for name in names)}
