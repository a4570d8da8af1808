"""timm's VisionTransformer, split into `embed` and `encode` so that hidden patches are never
embedded (MAE, arXiv 2111.06377).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import pad

from mim.encoder.attention import Attention, Block, Norm, Wanted
from mim.encoder.blocks import ImageAttention, check_number, run_blocks, run_for_added
from mim.encoder.initialise import Start, initialise_vit
from mim.encoder.padding import Lengths, padding
from mim.encoder.patches import add_positions, project
from mim.encoder.positions import resize_positions, sincos_positions
from mim.geometry import Geometry, check_heads, grid_of
from mim.ranges import Count, NotNegative, Positive, Rate, Size


class ViT(ImageAttention, VisionTransformer):
    """A ViT; parameters and key names are timm's.

    Images of other sizes get positions that are resized to their grid; that of the cls token stays.

    Under bf16 autocast the residual stream is bf16 from the patch projection on, so that nothing is
    cast between blocks; parameters, their gradients and the loss stay float32, and products, layer
    norms and softmax sum in float32.

    Args:
        image_size: pixels per side, or (height, width).
        patch_size: pixels per side of a patch, or (height, width).
        width: channels of a token.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of each MLP over `width`.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.
        channels: C, of an image.
        positions: fixed sines and cosines, of columns first (MAE) or of rows first (MoCo v3), or
            learned from a normal of deviation 0.02 (DINO, iBOT).
        start: how weights begin: as those of MAE, of DINO and iBOT, of I-JEPA, or of MoCo v3
            (`mim.encoder.initialise`).
        resize_offset: of positions that are resized (`mim.encoder.positions`): 0.1 as in DINO's and
            iBOT's releases, or 0.
        cls: whether a cls token comes before the patches; I-JEPA has none.

    Raises:
        ValueError: where the patch size does not divide the image, the heads the width, or 4 the
            width.
    """

    cls_token: nn.Parameter | None
    pos_embed: nn.Parameter

    def __init__(
        self,
        image_size: Size,
        patch_size: Size,
        width: Count,
        depth: Count,
        heads: Count,
        mlp_ratio: Positive = 4.0,
        drop_path: Rate = 0.0,
        channels: Count = 3,
        positions: Literal["sincos", "sincos_rows_first", "learned"] = "sincos",
        start: Start = "mae",
        resize_offset: NotNegative = 0.1,
        cls: bool = True,
    ):
        geometry = Geometry.of(image_size, patch_size, channels)
        check_heads("ViT", width, heads)
        super().__init__(
            img_size=geometry.image_size,
            in_chans=channels,
            patch_size=geometry.patch_size,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path,
            num_classes=0,
            class_token=cls,
            global_pool="token" if cls else "",
            norm_layer=Norm,
            attn_layer=Attention,
            block_fn=Block,
            weight_init="skip",
        )
        self.geometry = geometry
        self.width, self.heads, self.prefix = width, heads, int(cls)
        self.resize_offset = resize_offset
        initialise_vit(self, start)
        if positions == "learned":
            nn.init.trunc_normal_(self.pos_embed, std=0.02)
        else:
            self.pos_embed.requires_grad_(False).copy_(
                sincos_positions(
                    width, geometry.grid, cls, rows_first=positions == "sincos_rows_first"
                )
            )

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Project patches and add their positions, in the residual stream's precision: that of the
        projection.

        Images (B, C, H, W) -> all tokens (B, L, D), or only those at indices (B, K, M) -> (B, K, M,
        D).
        """
        grid = grid_of((image.shape[2], image.shape[3]), self.geometry.patch_size)
        positions = resize_positions(
            self.pos_embed[:, self.prefix :], self.geometry.grid, grid, self.resize_offset
        )
        return add_positions(project(image, index, self.patch_embed.proj), index, positions)

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of many patches: (1, 1, D) at indices (B, K, M) -> (B, K, M, D), each
        with its position.
        """
        return add_positions(
            token.expand(*index.shape, -1), index, self.pos_embed[:, self.prefix :]
        )

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, D), initialised as this encoder's own."""
        return nn.Parameter(self.pos_embed.new_empty(1, 1, self.width).normal_(std=0.02))

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Tokens of any subset of patches (B, M, D) -> cls token first, if any (B, R + M, D),
        normalised.

        Where they stand (`index`, (B, M)) is in the tokens already: it is for encoders whose
        attention asks for it (Beit). `valid` is as in `Encoder`.
        """
        (last,) = self.encode_blocks(tokens, [self.depth], index, valid)
        return self.norm(last)

    def encode_blocks(
        self,
        tokens: Tensor,
        blocks: Sequence[int],
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> list[Tensor]:
        """Tokens that leave some blocks, each (B, R + M, D), not normalised."""
        x, bias = self._enter(tokens, valid)
        return run_blocks(x, self.blocks, [bias] * self.depth, blocks)

    def encode_some(
        self,
        tokens: Tensor,
        wanted: Wanted,
        index: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> Tensor:
        """Encoded tokens that are wanted (`pick`), normalised: of the last block no others are
        computed.
        """
        x, bias = self._enter(tokens, valid)
        for block in self.blocks[:-1]:
            x = block(x, bias)
        return self.norm(self.blocks[-1](x, bias, wanted=wanted))

    def encode_added(self, tokens: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """What feed-forward networks of some blocks add, each (B, R + M, D)."""
        x = self._cls_first(tokens)
        return run_for_added(x, self.blocks, [None] * self.depth, blocks)

    def block_attention(
        self,
        tokens: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Attention (B, A, queries, R + L), of tokens (B, R + L, D) that enter the block."""
        chosen = self._block(block)
        return chosen.attn.rows(chosen.norm1(tokens), queries, dtype)

    def block_update(self, tokens: Tensor, block: int | None = None) -> Tensor:
        """What the block's attention adds to the tokens (B, R + L, D) that enter it."""
        return self._block(block).update(tokens)

    def _block(self, number: int | None) -> Block:
        chosen = self.blocks[check_number(number, self.depth, "ViT") - 1]
        assert isinstance(chosen, Block)
        return chosen

    def _enter(
        self, tokens: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor | Lengths | None]:
        """What enters the first block, and what hides padding."""
        x = self._cls_first(tokens)
        return x, None if valid is None else padding(pad(valid, (self.prefix, 0), value=True), x)

    def _cls_first(self, tokens: Tensor) -> Tensor:
        if self.cls_token is None:
            return tokens
        cls = (self.cls_token + self.pos_embed[:, : self.prefix]).to(tokens.dtype)
        return torch.cat([cls.expand(tokens.shape[0], -1, -1), tokens], dim=1)

    def forward(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """Features of the whole image: (B, C, H, W) -> cls token first, if any (B, R + L, D),
        normalised.
        """
        return self.encode(self.embed(image))
