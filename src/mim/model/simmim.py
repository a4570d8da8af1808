"""SimMIM: the mask token enters before the encoder, and a linear layer predicts (arXiv
2111.09886).
"""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder, encode_some
from mim.masker.any_masker import AnyMasker
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.packing import pack
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch, embed_visible
from mim.tokens import take


class SimMIM(MaskedModel):
    """An encoder that sees visible patches and, in place of the masked ones, mask tokens; a linear
    layer predicts.

    Patches that the masker throws are neither: they cost nothing. In the last block visible patches
    are looked at, and go no further where the encoder can spare them.

    Args:
        encoder: embeds, places and encodes patches.
        masker: decides which patches are visible and which are masked.
        target_dims: values per patch of the predictions, by term of the loss, None for the
            encoder's width; or what says them once it knows the geometry (a loss's `fit`). Each has
            a linear layer, the first term's is `decoder` in checkpoints.
    """

    def __init__(self, encoder: Encoder, masker: AnyMasker, target_dims: TargetDims):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        self.encoder, self.masker, self.terms = encoder, masker, tuple(dims)
        self.mask_token = encoder.new_token()
        self.decoder, *others = (
            nn.Linear(encoder.width, dim or encoder.width) for dim in dims.values()
        )
        self.decoders = nn.ModuleDict(dict(zip(self.terms[1:], others, strict=True)))

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) of the patches
        that the masker hid.
        """
        batch = as_batch(batch)
        visible, split = embed_visible(self.encoder, self.masker, batch)
        B, K, Lm = split.masked.shape
        masked = self.encoder.position_token(self.mask_token, split.masked).to(visible.dtype)
        tokens = torch.cat([masked, visible], dim=2).flatten(0, 1)  # (B * K, Lm + Lv, D)
        index, valid = torch.cat([split.masked, split.visible], dim=2).flatten(0, 1), split.valid()
        if valid is not None:  # masked tokens come first and stay where they are
            order, valid = pack(valid.flatten(0, 1), most=self.encoder.geometry.patches)
            tokens, index = take(tokens, order[:, None])[:, 0], index.gather(1, order)
        first = self.encoder.prefix
        latent = encode_some(self.encoder, tokens, first + Lm, index, valid)[:, first:]
        predictions = (
            decoder(latent).unflatten(0, (B, K))
            for decoder in (self.decoder, *self.decoders.values())
        )
        return Reconstruction(dict(zip(self.terms, predictions, strict=True)), split)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: what the encoder says, of itself and of the mask
        token.
        """
        names = self.encoder.no_weight_decay()
        return {*names, *(f"encoder.{name}" for name in names)}
