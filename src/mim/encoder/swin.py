"""timm's Swin, shifted windows on the whole grid (arXiv 2103.14030); its patch is what the last
stage sees, as in SimMIM.
"""

from collections.abc import Sequence

import torch
from timm.layers import PatchEmbed
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from mim.encoder.patches import project
from mim.geometry import Geometry
from mim.ranges import Count, Positive, Rate, Size
from mim.tokens import patchify, take, take_patches, unpatchify


class Swin(SwinTransformer):
    """A hierarchy of windows; parameters and key names are timm's.

    A patch of the masker, and of the loss, is one token of the last stage: it holds many small
    patches of the first. Windows need the whole grid, so no patch may be missing: masked ones are
    stood in for (SimMIM), none is left out (MAE) or thrown. There is no cls token and no other
    prefix.

    Args:
        image_size: pixels per side, or (height, width).
        patch_size: pixels per side of a patch of the last stage; those of each stage before are
            half as long.
        width: channels in the first stage; each stage doubles them.
        depths: blocks in each stage.
        heads: attention heads in each stage.
        window: small patches per side of a window.
        mlp_ratio: hidden width of each MLP over that of its stage.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first.
        channels: C, of an image.

    Raises:
        ValueError: where patches do not tile the image, or stages, heads and widths do not match.
    """

    patch_embed: PatchEmbed

    def __init__(
        self,
        image_size: Size,
        patch_size: Count,
        width: Count,
        depths: list[Count],
        heads: list[Count],
        window: Count,
        mlp_ratio: Positive = 4.0,
        drop_path: Rate = 0.0,
        channels: Count = 3,
    ):
        if len(depths) != len(heads):
            raise ValueError(
                f"Swin got {len(depths)} depths and {len(heads)} heads; give one of each for every "
                "stage"
            )
        if any(width * 2**stage % count for stage, count in enumerate(heads)):
            raise ValueError(
                f"Swin got width={width}, heads={list(heads)}; each stage's heads must divide its "
                "width, twice the last"
            )
        small = 2 ** (len(depths) - 1)  # small patches per side of a patch
        if patch_size % small:
            raise ValueError(
                f"Swin got patch_size={patch_size} for {len(depths)} stages; needs a multiple of "
                f"{small}, e.g. {4 * small}"
            )
        geometry = Geometry.of(image_size, patch_size, channels)
        super().__init__(
            img_size=geometry.image_size,
            in_chans=channels,
            patch_size=patch_size // small,
            num_classes=0,
            global_pool="",
            embed_dim=width,
            depths=tuple(depths),
            num_heads=tuple(heads),
            window_size=window,
            mlp_ratio=mlp_ratio,
            drop_path_rate=drop_path,
        )
        self.geometry, self.small = geometry, small
        self.width, self.depth, self.prefix = self.num_features, sum(depths), 0

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of all stages, first to last."""
        return [
            block for stage in self.layers for block in stage.get_submodule("blocks").children()
        ]

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> all patches (B, L, S * C), or only those at indices (B, K, M) ->
        (B, K, M, S * C).

        The S small patches of each patch in rows, C channels of the first stage each.
        """
        side = self.geometry.patch_size
        patches = patchify(image, side) if index is None else take_patches(image, index, side)
        # each patch a picture of its own
        pixels = patches.view(-1, *side, self.geometry.channels).permute(0, 3, 1, 2)
        small = self.patch_embed.norm(project(pixels, None, self.patch_embed.proj))  # (B * L, S, C)
        return small.flatten(1).view(*patches.shape[:-1], -1)

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of every small patch of many patches: (1, 1, C) at indices (B, K, M)
        -> (B, K, M, S * C).
        """
        return token.repeat(1, 1, self.small**2).expand(*index.shape, -1)

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, C) of the first stage, initialised as SimMIM does."""
        return nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, self.embed_dim), std=0.02))

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """All patches (B, L, S * C), and where they stand (B, L) -> their tokens (B, L, D),
        normalised.

        All of them have to be `valid` (B, L).

        Raises:
            ValueError: where a patch is missing.
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
        """Tokens that leave the last block (B, L, D), not normalised: earlier stages have others.

        Raises:
            ValueError: where a patch is missing, or another block is asked for.
        """
        if tokens.shape[1] != self.geometry.patches:
            raise ValueError(
                f"Swin's windows need every patch and got {tokens.shape[1]} of "
                f"{self.geometry.patches}; use model=simmim with "
                "a masker that throws none (masker=random_cell), or an encoder that runs on any "
                "subset (vit, beit)"
            )
        if set(blocks) != {self.depth}:
            raise ValueError(
                f"block={min(blocks, default=None)} of Swin cannot be looked at: it has stages, of "
                f"which only the last one's tokens are patches; block={self.depth}, or block=null"
            )
        if index is not None:
            tokens = take(tokens, index.argsort(dim=1)[:, None])[:, 0]
        # (B, rows * s, columns * s, C)
        x = unpatchify(tokens, self.small, self.geometry.grid).permute(0, 2, 3, 1)
        x = self.layers(x).flatten(1, 2)  # (B, L, D)
        if index is not None:
            x = take(x, index[:, None])[:, 0]
        return [x] * len(blocks)

    def forward(self, image: Tensor) -> Tensor:
        """Features of the whole image: (B, C, H, W) -> (B, L, D), normalised."""
        return self.encode(self.embed(image))

    def no_weight_decay(self) -> set[str]:
        """Matrices that are not decayed, as SimMIM has it (optimizer.py): tables of biases are,
        though it means not to.
        """
        return {"mask_token"}
