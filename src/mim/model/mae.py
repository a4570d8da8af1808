"""Masked autoencoder: encode what is visible, decode what is masked (MAE, arXiv 2111.06377)."""

from collections.abc import Callable

from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.masker.any_masker import AnyMasker
from mim.model.decoder import Decoder
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.query_decoder import QueryDecoder
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch, encode_visible, grid_in


class MAE(MaskedModel):
    """An encoder that sees only the visible patches, and a light decoder that predicts the masked
    ones.

    Args:
        encoder: embeds and encodes patches.
        masker: decides which patches are visible and which are masked.
        decoder: builds a decoder, once the encoder's width and grid are known, for each term of the
            loss that predicts.
        target_dims: values per patch of the predictions, by term, None for the encoder's width; or
            what says them once it knows the geometry (a loss's `fit`). The first term's decoder is
            `decoder` in checkpoints.
    """

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        decoder: Callable[..., Decoder | QueryDecoder],
        target_dims: TargetDims,
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        self.encoder, self.masker, self.terms = encoder, masker, tuple(dims)
        self.decoder, *others = (
            decoder(
                encoder_width=encoder.width,
                grid=encoder.geometry.grid,
                target_dim=dim or encoder.width,
            )
            for dim in dims.values()
        )
        self.decoders = nn.ModuleDict(dict(zip(self.terms[1:], others, strict=True)))
        self.looks_at = self.decoder.looks_at if isinstance(self.decoder, QueryDecoder) else None
        if self.looks_at is not None:
            encoder.norm.requires_grad_(False)  # nothing passes it

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) of the patches
        that the masker hid.
        """
        return self.reconstruct(as_batch(batch))[1]

    def reconstruct(self, batch: Batch) -> tuple[Tensor, Reconstruction]:
        """What left the encoder, prefix first (B * K, R + Lv, D), and the predictions made of it.

        For a decoder that looks at blocks, what left each of those: (blocks, B * K, R + Lv, D).
        """
        encoder = self.encoder
        latent, split = encode_visible(encoder, self.masker, batch, self.looks_at)
        grid = grid_in(encoder, batch.image)
        smaller = {} if grid == encoder.geometry.grid else {"grid": grid}
        decoders = (self.decoder, *self.decoders.values())
        predictions = (decoder(latent, split, **smaller) for decoder in decoders)
        return latent, Reconstruction(dict(zip(self.terms, predictions, strict=True)), split)

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: none, tokens are as well (timm 0.3.2,
        optim_factory.py: add_weight_decay).
        """
        return set()
