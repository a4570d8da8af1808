"""Feature map of a plain ViT that attends within windows in most blocks (ViTDet, arXiv 2203.16527,
section 3).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, scaled_dot_product_attention

from mim.encoder.attention import Block
from mim.encoder.blocks import check_number
from mim.encoder.patches import project
from mim.encoder.vit import ViT
from mim.ranges import Count


class RelativePositions(nn.Module):
    """Biases of attention by row and by column distance, learned, of one block (detectron2,
    modeling/backbone/utils.py).

    They start at zero, so that a pre-trained block does at first what it was trained to.

    Args:
        grid: rows and columns of the tokens that attend to each other.
        head_width: channels of a head.
    """

    def __init__(self, grid: tuple[int, int], head_width: int):
        super().__init__()
        rows, columns = grid
        self.rows = nn.Parameter(torch.zeros(2 * rows - 1, head_width))
        self.columns = nn.Parameter(torch.zeros(2 * columns - 1, head_width))

    def extend(self, query: Tensor, key: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Queries (B, A, L, d) and keys whose products hold the biases: (B, A, L, d + rows +
        columns) each.

        The bias of query i and key j is q_i . R[row of i - row of j] + q_i . C[column of i - column
        of j]. So q_i is continued by its product with every row and every column, unscaled, and k_j
        by ones where it stands: a fused kernel then adds what a bias of L x L numbers would, and
        nobody writes that down.
        """
        rows, columns = grid
        maps = query.unflatten(2, grid)  # (B, A, rows, columns, d)
        by_row = torch.einsum(
            "bahwd,hkd->bahwk", maps, _by_distance(self.rows, rows).to(query.dtype)
        )
        by_column = torch.einsum(
            "bahwd,wkd->bahwk", maps, _by_distance(self.columns, columns).to(query.dtype)
        )
        place = torch.arange(rows * columns, device=key.device)
        row = nn.functional.one_hot(place // columns, rows)
        column = nn.functional.one_hot(place % columns, columns)
        stands = torch.cat([row, column], dim=1).to(key.dtype).expand(*key.shape[:2], -1, -1)
        scaled = query * query.shape[-1] ** -0.5
        return (
            torch.cat([scaled, by_row.flatten(2, 3), by_column.flatten(2, 3)], dim=-1),
            torch.cat([key, stands], dim=-1),
        )


def _by_distance(table: Tensor, side: int) -> Tensor:
    """Table (2 n - 1, d), resized linearly where `side` is not n -> (side, side, d) for each pair
    of places.
    """
    length = 2 * side - 1
    if len(table) != length:
        table = interpolate(table.T[None], size=length, mode="linear")[0].T
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + side - 1]


class WindowedViT(nn.Module):
    """Feature map of the last block of a ViT, for images of any size that patches tile.

    Blocks attend within windows; the last of each of a few equal parts of the stack attends to all
    of the image. There is no cls token and no final norm. Positions are the encoder's, learned from
    here on, resized (bicubic) to the image at hand.

    Args:
        encoder: a ViT, for images of the size that it was pre-trained on.
        image_size: height and width that blocks with global attention have tables of relative
            positions for.
        window: patches per side of a window.
        global_blocks: how many blocks attend to all patches, evenly spread, or which, counted from
            1.
        relative: add relative positions to every block.

    Raises:
        ValueError: where the encoder is no ViT, or has too few blocks, or its patches are no
            squares.
    """

    def __init__(
        self,
        encoder: ViT,
        image_size: tuple[int, int],
        window: Count = 14,
        global_blocks: Count | Sequence[Count] = 4,
        relative: bool = True,
    ):
        super().__init__()
        if not isinstance(encoder, ViT):
            raise ValueError(
                f"windows are for a plain ViT, and {type(encoder).__name__} is none; e.g. "
                "encoder=vit_base"
            )
        side, wide = encoder.geometry.patch_size
        if side != wide:
            raise ValueError(
                f"windows are for square patches, and these are of {side} x {wide} pixels"
            )
        everywhere = _spread(encoder.depth, global_blocks)
        self.encoder, self.window = encoder.requires_grad_(), window
        # Nobody looks at these here, and DDP waits for every gradient.
        if encoder.cls_token is not None:
            encoder.cls_token.requires_grad_(False)
        encoder.norm.requires_grad_(False)
        self.windowed = [number not in everywhere for number in range(1, encoder.depth + 1)]
        self.relative: nn.ModuleList | None = None
        if relative:
            whole = (image_size[0] // side, image_size[1] // side)
            grids = [(window, window) if windowed else whole for windowed in self.windowed]
            self.relative = nn.ModuleList(
                RelativePositions(grid, encoder.width // encoder.heads) for grid in grids
            )

    @property
    def stride(self) -> int:
        """Pixels per side of a place of the map."""
        return self.encoder.geometry.patch_size[0]

    def forward(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> feature map (B, D, H / patch, W / patch)."""
        return self.maps(image)[-1].permute(0, 3, 1, 2)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> tokens that leave each block, (B, H / patch, W / patch, D)."""
        side = self.encoder.geometry.patch_size[0]
        grid = (image.shape[-2] // side, image.shape[-1] // side)
        x = project(image, None, self.encoder.patch_embed.proj).unflatten(1, grid)
        x = x + self._positions(grid).to(x.dtype)
        left = []
        for number, block in enumerate(self.encoder.blocks):
            assert isinstance(block, Block)
            relative = None if self.relative is None else self.relative[number]
            assert relative is None or isinstance(relative, RelativePositions)
            window = self.window if self.windowed[number] else None
            x = x + block.drop_path1(block.ls1(_attend(block, block.norm1(x), window, relative)))
            x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
            left.append(x)
        return left

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """The encoder's positions on another grid (1, rows, columns, D)."""
        own = self.encoder.pos_embed[:, self.encoder.prefix :].unflatten(
            1, self.encoder.geometry.grid
        )
        if grid == self.encoder.geometry.grid:
            return own
        return interpolate(
            own.permute(0, 3, 1, 2), size=grid, mode="bicubic", align_corners=False
        ).permute(0, 2, 3, 1)


def _spread(depth: int, blocks: int | Sequence[int]) -> list[int]:
    """Numbers of the blocks that attend to everything."""
    if isinstance(blocks, int):
        if depth % blocks:
            raise ValueError(
                f"task.model.global_blocks={blocks} does not divide the {depth} blocks of the "
                "encoder into equal parts; name them, "
                f"e.g. task.model.global_blocks=[{depth}]"
            )
        return equal_parts(depth, blocks)
    return [check_number(number, depth, "the encoder") for number in blocks]


def _attend(
    block: Block, x: Tensor, window: int | None, relative: RelativePositions | None
) -> Tensor:
    """Attention of a block over maps (B, H, W, D), within windows or everywhere."""
    if window is None:
        return _attention(block, x, relative)
    H, W = x.shape[1:3]
    # Padding is attended to: its keys and values are the biases of the projection, as in
    # detectron2.
    x = pad(x, (0, 0, 0, -W % window, 0, -H % window))
    rows, columns = x.shape[1] // window, x.shape[2] // window
    tiles = x.unflatten(2, (columns, window)).unflatten(1, (rows, window)).transpose(2, 3)
    seen = _attention(block, tiles.flatten(0, 2), relative).unflatten(0, (-1, rows, columns))
    return seen.transpose(2, 3).flatten(3, 4).flatten(1, 2)[:, :H, :W]


def _attention(block: Block, x: Tensor, relative: RelativePositions | None) -> Tensor:
    """The same over whole maps (B, H, W, D)."""
    grid = (x.shape[1], x.shape[2])
    qkv = block.attn.qkv(x).flatten(1, 2).unflatten(-1, (3, block.attn.num_heads, -1))
    query, key, value = (t.transpose(1, 2) for t in qkv.unbind(2))  # (B, A, L, d)
    if relative is None:
        seen = scaled_dot_product_attention(query, key, value)
    else:
        query, key = relative.extend(query, key, grid)
        seen = scaled_dot_product_attention(query, key, value, scale=1.0)
    return block.attn.proj(seen.transpose(1, 2).flatten(2)).unflatten(1, grid)


def equal_parts(depth: int, count: int) -> list[int]:
    """Numbers of the last blocks of `count` equal parts of a stack, counted from 1; the last is
    `depth`.
    """
    ends = [round(depth * part / count) for part in range(count + 1)]
    return [end for start, end in pairwise(ends) if end > start]
