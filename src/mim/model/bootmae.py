"""Bootstrapped masked autoencoder: decoders that look at an early and at a late block (BootMAE,
arXiv 2207.07116).
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.blocks import check_number
from mim.encoder.encoder import Encoder
from mim.masker.any_masker import AnyMasker
from mim.model.cross_decoder import CrossDecoder
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch, embed_visible
from mim.ranges import Count


class BootMAE(MaskedModel):
    """Encoder of visible patches, and a decoder for each term of the loss, which looks at a block
    of the encoder.

    Pixels are predicted beside the first block, so that the encoder need not carry them to its end;
    a teacher's features beside the last.

    Args:
        encoder: embeds and encodes patches; gives the tokens of any block.
        masker: decides which patches are visible and which are masked.
        decoder: builds the decoder of each term, by its name.
        block: number of the block that each decoder looks at, from 1; null for the last.
        target_dims: values per patch of the predictions, by term, None for the encoder's width; or
            a loss's `fit`.

    Raises:
        ValueError: where decoders, blocks and terms do not have the same names, or the encoder no
            such block.
    """

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        decoder: Mapping[str, Callable[..., CrossDecoder]],
        block: Mapping[str, Count | None],
        target_dims: TargetDims,
    ):
        super().__init__()
        dims = dims_of(target_dims, encoder.geometry)
        if not set(dims) == set(decoder) == set(block):
            raise ValueError(
                f"the loss predicts {', '.join(dims)}, and model=bootmae has decoders for "
                f"{', '.join(decoder)} and blocks "
                f"for {', '.join(block)}; all of them need the same names, as loss=bootmae has them"
            )
        self.encoder, self.masker = encoder, masker
        self.block = {
            name: check_number(block[name], encoder.depth, type(encoder).__name__) for name in dims
        }
        self.decoders = nn.ModuleDict(
            {
                name: decoder[name](
                    encoder_width=encoder.width,
                    grid=encoder.geometry.grid,
                    target_dim=dim or encoder.width,
                )
                for name, dim in dims.items()
            }
        )

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) of the patches
        that the masker hid.
        """
        batch = as_batch(batch)
        visible, split = embed_visible(self.encoder, self.masker, batch)
        valid = None if split.visible_valid is None else split.visible_valid.flatten(0, 1)
        wanted = [*self.block.values(), self.encoder.depth]
        *contexts, last = self.encoder.encode_blocks(
            visible.flatten(0, 1), wanted, split.visible.flatten(0, 1), valid
        )
        latent = self.encoder.norm(last)
        decoders = zip(self.decoders.items(), contexts, strict=True)
        return Reconstruction(
            {name: decode(latent, context, split) for (name, decode), context in decoders}, split
        )

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: the cls token (modeling_pretrain_bootmae.py:
        no_weight_decay).
        """
        return {"encoder.cls_token"}
