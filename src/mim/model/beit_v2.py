"""BEiT v2: codes of masked patches are predicted twice, once through the cls token (arXiv
2208.06366).
"""

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.attention import Norm
from mim.encoder.beit import Beit
from mim.encoder.blocks import check_number, rising_rates
from mim.encoder.encoder import Encoder
from mim.encoder.initialise import beit_head
from mim.masker.any_masker import AnyMasker
from mim.model.masked_model import MaskedModel, TargetDims, dims_of
from mim.model.reconstruction import Reconstruction
from mim.model.visible import as_batch, embed_in_place, split_of
from mim.ranges import Count, Rate

AGGREGATED = "aggregated"
"""Term of the loss whose prediction goes through the cls token."""


class BeitV2(MaskedModel):
    """A BEiT, and a shallow decoder of its last cls token and of patches after an earlier block.

    What the later blocks found reaches the decoder by the cls token alone, which so learns to hold
    the whole image (section 2.3). Mask tokens are in place of masked patches before the encoder, as
    in BEiT, and the decoder has the encoder's shared biases of position. Of the last block of both,
    visible patches are looked at and go no further.

    Blocks of the decoder start as torch's layers do, what they add divided by sqrt(2 * number),
    counted on from `block`: BEiT's start is drawn before they are built (microsoft/unilm,
    beit2/modeling_pretrain.py: VisionTransformerForMaskedImageModelingCLS). The heads have BEiT's.

    Args:
        encoder: a Beit.
        masker: decides which patches are visible and which are masked.
        target_dims: values per patch of the predictions, by term: one of the last block, and
            `aggregated`; or a loss's `fit`.
        block: whose patch tokens the decoder gets, from 1; null for the third before the last, as
            published: 9 of 12, 21 of 24.
        layers: blocks of the decoder.
        drop_path: rate of stochastic depth in the encoder's last block; rates of the decoder go on
            after `block`.
        shared_head: whether both predictions are made by one norm and one linear layer, as
            published.

    Raises:
        ValueError: where the encoder is no Beit, or has no such block, or the loss other terms, or
            of another number of values.
    """

    encoder: Beit

    def __init__(
        self,
        encoder: Encoder,
        masker: AnyMasker,
        target_dims: TargetDims,
        block: Count | None = None,
        layers: Count = 2,
        drop_path: Rate = 0.0,
        shared_head: bool = True,
    ):
        super().__init__()
        if not isinstance(encoder, Beit):
            raise ValueError(
                "model=beit_v2 decodes by blocks with the encoder's biases of position, and "
                f"{type(encoder).__name__} has none; encoder=beit_base, or another Beit"
            )
        dims = dims_of(target_dims, encoder.geometry)
        if len(dims) != 2 or AGGREGATED not in dims or len(set(dims.values())) != 1:
            raise ValueError(
                f"model=beit_v2 predicts the same twice, once for the term {AGGREGATED}, and the "
                f"loss has {', '.join(f'{name} ({dim})' for name, dim in dims.items())}; "
                "loss=beit_v2"
            )
        wanted = max(1, encoder.depth - 3) if block is None else block
        self.block = check_number(wanted, encoder.depth, "the encoder")
        self.encoder, self.masker = encoder, masker
        (self.term,) = dims.keys() - {AGGREGATED}
        dim = dims[AGGREGATED] or encoder.width
        self.mask_token = encoder.new_token()
        rates = rising_rates(drop_path, max(encoder.depth, self.block + layers))
        self.aggregator = encoder.new_blocks(rates[self.block : self.block + layers])
        for number, layer in enumerate(self.aggregator, start=self.block + 1):
            for added in (layer.get_submodule("attn.proj"), layer.get_submodule("mlp.fc2")):
                assert isinstance(added, nn.Linear)
                added.weight.data.div_((2 * number) ** 0.5)
        self.decoder = beit_head(encoder.width, dim)
        self.own = (
            None
            if shared_head
            else nn.Sequential(Norm(encoder.width), beit_head(encoder.width, dim))
        )

    def forward(self, batch: Batch | Tensor) -> Reconstruction:
        """A batch, or normalised images (B, C, H, W) -> predictions (B, K, Lm, P) of the masked
        patches, by term.
        """
        encoder = self.encoder
        batch = as_batch(batch)
        split = split_of(encoder, self.masker, batch)
        tokens, index, valid = embed_in_place(encoder, self.mask_token, batch.image, split)
        B, K, Lm = split.masked.shape
        first = encoder.prefix
        wanted, blocks = first + Lm, [self.block, encoder.depth]
        apart = self.block < encoder.depth  # else the decoder gets all tokens of the last block
        early, last = encoder.encode_blocks(tokens, blocks, index, valid, wanted if apart else None)
        joined = torch.cat([last[:, :first], early[:, first:]], dim=1)
        layers = len(self.aggregator)
        (joined,) = encoder.run(self.aggregator, joined, [layers], index, valid, wanted)
        joined = joined[:, first:]
        last = last[:, first:wanted]
        made = {
            self.term: self.decoder(encoder.norm(last)),
            AGGREGATED: self.decoder(encoder.norm(joined))
            if self.own is None
            else self.own(joined),
        }
        return Reconstruction(
            {name: each.unflatten(0, (B, K)) for name, each in made.items()}, split
        )

    def no_weight_decay(self) -> set[str]:
        """Names of matrices that are not decayed: the encoder's; the mask token is."""
        return {f"encoder.{name}" for name in self.encoder.no_weight_decay()}
