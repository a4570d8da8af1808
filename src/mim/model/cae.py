"""Context autoencoder: latents of masked patches, regressed and decoded (CAE, arXiv 2202.03026)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.encoder.positions import sincos_positions
from mim.masker.any_masker import AnyMasker
from mim.model.latent_decoder import LatentDecoder
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.reconstruction import Reconstruction
from mim.model.regressor import Regressor
from mim.model.visible import as_batch, encode_visible

ALIGNED = "align"
"""Term of the loss whose prediction is the regressed latents themselves."""


class CAE(MaskedModel):
    """Encoder of visible patches, regressor of the masked ones' latents, and decoders of these.

    Each term of the loss has a decoder, which is given no visible patch, so that all it needs has
    to be in the latents. The prediction of the term `align` is the latents themselves. Positions of
    regressor and decoders are sines and cosines, of rows first.

    Args:
        encoder: embeds and encodes patches.
        masker: decides which patches are visible and which are masked.
        regressor: builds the regressor, once the encoder's width is known.
        decoder: builds the decoder of each term but `align`, once its values per patch are known.
        target_dims: values per patch of the predictions, by term, None for the encoder's width; or
            a loss's `fit`.

    Raises:
        ValueError: where latents are compared with something of another width, or nothing is
            decoded.
    """

    position: Tensor

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        regressor: Callable[..., Regressor],
        decoder: Callable[..., LatentDecoder],
        target_dims: TargetDims,
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        if dims.get(ALIGNED) is not None:
            raise ValueError(
                f"the term {ALIGNED} compares latents {encoder.width} wide, and its target has "
                f"{dims[ALIGNED]} values a patch; give the term another name, or it a teacher's "
                f"tokens: target@loss.term.{ALIGNED}.target=masked_features"
            )
        if set(dims) == {ALIGNED}:
            raise ValueError(
                f"the loss has the term {ALIGNED} alone, which latents that are the same for all "
                "images satisfy; add one that is decoded, as loss=cae has"
            )
        self.encoder, self.masker, self.terms = encoder, masker, tuple(dims)
        self.regressor = regressor(width=encoder.width)
        self.decoders = nn.ModuleDict(
            {
                name: decoder(width=encoder.width, target_dim=dim or encoder.width)
                for name, dim in dims.items()
                if name != ALIGNED
            }
        )
        table = sincos_positions(encoder.width, encoder.geometry.grid, cls=False, rows_first=True)
        self.register_buffer("position", table.float(), persistent=False)

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) by term."""
        latent, split = encode_visible(self.encoder, self.masker, as_batch(batch))
        B, K, Lm = split.masked.shape
        visible, valid = latent[:, latent.shape[1] - split.visible.shape[-1] :], split.valid()
        index = torch.cat([split.masked, split.visible], dim=2).flatten(0, 1)
        position = self.position[index].to(latent.dtype)
        valid = None if valid is None else valid.flatten(0, 1)
        regressed = self.regressor(visible, position, valid)
        place, valid = position[:, :Lm], None if valid is None else valid[:, :Lm]
        made = {name: decode(regressed, place, valid) for name, decode in self.decoders.items()}
        made[ALIGNED] = regressed
        return Reconstruction({name: made[name].unflatten(0, (B, K)) for name in self.terms}, split)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: none, tokens are as well (lxtGH/CAE)."""
        return set()
