"""SimMIM: the mask token enters before the encoder, and a linear layer predicts (arXiv
2111.09886).
"""

from typing import Literal

from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder, encode_some
from mim.encoder.initialise import beit_head
from mim.masker.any_masker import AnyMasker
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch, embed_in_place, split_of


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
        start: how linear layers begin: as torch's (SimMIM), or as BEiT's and data2vec's.
    """

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        target_dims: TargetDims,
        start: Literal["torch", "beit"] = "torch",
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        self.encoder, self.masker, self.terms = encoder, masker, tuple(dims)
        self.mask_token = encoder.new_token()
        linear = beit_head if start == "beit" else nn.Linear
        self.decoder, *others = (
            linear(encoder.width, dim or encoder.width) for dim in dims.values()
        )
        self.decoders = nn.ModuleDict(dict(zip(self.terms[1:], others, strict=True)))

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) of the patches
        that the masker hid.
        """
        batch = as_batch(batch)
        split = split_of(self.encoder, self.masker, batch)
        tokens, index, valid = embed_in_place(self.encoder, self.mask_token, batch.image, split)
        B, K, Lm = split.masked.shape
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
