"""The ViT of CAPI, which has registers on the edge of the image and turns queries and keys by place
(arXiv 2502.08769).
"""

from collections.abc import Callable, Sequence

import torch
from timm.layers import PatchEmbed
from torch import Tensor, nn

from mim.encoder.blocks import Bias, ImageAttention, check_number, run_blocks
from mim.encoder.capi_block import NORM, CapiBlock
from mim.encoder.padding import padding_bias
from mim.encoder.patches import project
from mim.geometry import Geometry
from mim.ranges import Count, Positive, Rate, Size


class CapiViT(ImageAttention, nn.Module):
    """CAPI's encoder: no absolute positions, no biases, root-mean-square norms
    (facebookresearch/capi, model.py: EncoderDecoder).

    Queries and keys are turned by where a token is. Registers stand clockwise on the edge of the
    rectangle that the patches given span, which is smaller where patches are hidden. There is no
    cls token: the first register is what pools take for it.

    Args:
        image_size: pixels per side, or (height, width).
        patch_size: pixels per side of a patch.
        width: D, channels of a token.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of each MLP over `width`.
        drop_path: rate of stochastic depth, the same in all blocks.
        channels: C, of an image.
        registers: R, a multiple of four.

    Raises:
        ValueError: where the patch size does not divide the image, the heads the width, or four a
            head's channels or the registers.
    """

    def __init__(
        self,
        image_size: Size,
        patch_size: Count,
        width: Count,
        depth: Count,
        heads: Count,
        mlp_ratio: Positive = 4.0,
        drop_path: Rate = 0.0,
        channels: Count = 3,
        registers: Count = 16,
    ):
        super().__init__()
        self.geometry = Geometry.of(image_size, patch_size, channels)
        if width % heads or width // heads % 4 or registers % 4:
            raise ValueError(
                f"CapiViT got width={width}, heads={heads}, registers={registers}; needs channels "
                "of "
                "a head and registers in fours, e.g. width=1024, heads=16, registers=16"
            )
        self.width, self.heads, self.prefix = width, heads, registers
        self.patch_embed = PatchEmbed(self.geometry.image_size, patch_size, channels, width)
        self.reg_token = nn.Parameter(torch.empty(1, registers, width).normal_(std=0.02))
        hidden = int(width * mlp_ratio)
        self.blocks = nn.ModuleList(
            [CapiBlock(width, heads, hidden, drop_path) for _ in range(depth)]
        )
        self.norm = NORM(width, elementwise_affine=False)
        self.register_buffer("_places", _places(self.geometry.grid), persistent=False)
        self.register_buffer("_edge", _edge(registers), persistent=False)
        stem = self.patch_embed.proj.weight
        nn.init.xavier_uniform_(stem.view(width, -1))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def embed(self, image: Tensor, index: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) -> all patches (B, L, D), or those at (B, K, M) -> (B, K, M, D).

        Places come in `encode`.
        """
        return project(image, index, self.patch_embed.proj)

    def position_token(self, token: Tensor, index: Tensor) -> Tensor:
        """One token in place of many patches: (1, 1, D) at indices (B, K, M) -> (B, K, M, D)."""
        return token.expand(*index.shape, -1)

    def new_token(self) -> nn.Parameter:
        """A learnable token (1, 1, D)."""
        return nn.Parameter(self.reg_token.new_empty(1, 1, self.width).normal_(std=0.02))

    def encode(
        self, tokens: Tensor, index: Tensor | None = None, valid: Tensor | None = None
    ) -> Tensor:
        """Embedded patches (B, M, D) -> registers, then patches (B, R + M, D), normalised."""
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
        places = self._placed(index, valid)
        bias = None
        if valid is not None:
            there = torch.cat([valid.new_ones(len(valid), self.prefix), valid], dim=1)
            bias = padding_bias(there)
        x = torch.cat([self.reg_token.to(tokens.dtype).expand(len(tokens), -1, -1), tokens], dim=1)
        steps = [self._step(block, places) for block in self.blocks]
        return run_blocks(x, steps, [bias] * self.depth, blocks)

    def _step(self, block: nn.Module, places: Tensor) -> Callable[[Tensor, Bias], Tensor]:
        return lambda x, bias: block(x, places, bias)

    def _placed(self, index: Tensor | None, valid: Tensor | None) -> Tensor:
        """Row and column in 0..1 of each token: (1, R + L, 2), or of patches (B, M) (B, R + M,
        2).
        """
        patches = self.get_buffer("_places")[None]
        if index is not None:
            patches = patches[0][index]
        low, high = patches, patches
        if valid is not None:
            low = patches.masked_fill(~valid[..., None], torch.inf)
            high = patches.masked_fill(~valid[..., None], -torch.inf)
        least, most = low.amin(1, keepdim=True), high.amax(1, keepdim=True)
        return torch.cat([least + self.get_buffer("_edge") * (most - least), patches], dim=1)

    def block_attention(
        self,
        tokens: Tensor,
        queries: Sequence[int] | None = None,
        block: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Attention (B, A, queries, R + L), of tokens (B, R + L, D) that enter the block; products
        are made in `dtype`.
        """
        chosen = self._block(block)
        attn, x = chosen.attn, chosen.norm1(tokens)
        query, key = attn.turned(x, self._placed(None, None))[:2]
        if queries is not None:
            query = query[:, :, list(queries)]
        if dtype is not None:
            query, key = query.to(dtype), key.to(dtype)
        score = query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)
        return score.float().softmax(dim=-1)

    def block_update(self, tokens: Tensor, block: int | None = None) -> Tensor:
        """What the block's attention adds to the tokens (B, R + L, D) that enter it."""
        return self._block(block).update(tokens, self._placed(None, None), None)

    def _block(self, number: int | None) -> CapiBlock:
        chosen = self.blocks[check_number(number, self.depth, "CapiViT") - 1]
        assert isinstance(chosen, CapiBlock)
        return chosen

    def no_weight_decay(self) -> set[str]:
        """Registers; frequencies are not trained."""
        return {"reg_token"}

    def forward(self, image: Tensor) -> Tensor:
        """Whole images (B, C, H, W) -> registers, then patches (B, R + L, D), normalised."""
        return self.encode(self.embed(image))


def _places(grid: tuple[int, int]) -> Tensor:
    """(L, 2): row and column of each patch, from 0 for the first to 1 for the last."""
    return torch.cartesian_prod(*(torch.linspace(0, 1, count) for count in grid))


def _edge(count: int) -> Tensor:
    """(R, 2): places along the edge, a quarter of them on each side, each side from its corner
    on.
    """
    along = torch.arange(count // 4) / (count // 4)
    none, one = torch.zeros_like(along), torch.ones_like(along)
    sides = ((along, none), (one, along), (1 - along, one), (none, 1 - along))
    return torch.cat([torch.stack(side, dim=1) for side in sides])
