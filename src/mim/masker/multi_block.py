"""Several blocks to predict, and the rest of a larger one to predict them from (I-JEPA, arXiv
2301.08243, section 3).
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.draw import MASK, RATIO, keys, uniform
from mim.masker.split import Split
from mim.part import Part, Progress
from mim.ranges import Count, Seed, Shares, Span, in_range

ATTEMPTS = 20  # places of a context that are tried before one target after another may overlap it
Range = tuple[float, float]


class MultiBlock(Part, nn.Module):
    """K target blocks, which may overlap, and one context block less all of them; the context is
    encoded once.

    Sizes are drawn once a step, for all images of all processes, and places for each image
    (facebookresearch/ijepa, src/masks/multiblock.py). A context of fewer than `min_visible` patches
    is placed anew; after 20 places of one image the last target is left out of what it may not
    overlap, then the next, as the release has it. The sets have the lengths of the largest blocks,
    so no shape depends on a draw; the release cuts the contexts of a batch to the shortest, at
    their bottom rows.

    Args:
        targets: K.
        scale: smallest and largest share of the patches in a target.
        aspect: smallest and largest height / width of a target.
        context_scale: share of the patches in the context block, a square, before targets are taken
            out.
        min_visible: fewest patches of a context.
        border: whether blocks reach the last row and column. The release's never do
            (`randint(0, height - h)`, its sides are below the grid's): there the default context on
            14 x 14 patches is always the same 13 x 13.
        one_draw: whether one number gives both scale and aspect of a block, so that large ones are
            tall (the release).
        per: a `batch` has blocks of one size, or each `image` draws its own. Outside of training
            images draw their own.
        seed: of the draws of steps.

    Raises:
        ValueError: where a range is none, or the context may be too small on its grid.
    """

    needs_tokens = False
    kind = "MultiBlock"
    step: Tensor

    @in_range
    def __init__(
        self,
        targets: Count = 4,
        scale: Shares = (0.15, 0.2),
        aspect: Span = (0.75, 1.5),
        context_scale: Shares = (0.85, 1.0),
        min_visible: Count = 11,
        border: bool = True,
        one_draw: bool = False,
        per: Literal["image", "batch"] = "batch",
        seed: Seed = 0,
    ):
        super().__init__()
        self.targets, self.min_visible, self.border, self.one_draw = (
            targets,
            min_visible,
            border,
            one_draw,
        )
        self.scale, self.aspect = (scale[0], scale[1]), (aspect[0], aspect[1])
        self.context_scale = (context_scale[0], context_scale[1])
        self.per, self.seed = per, seed
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)

    def begin_step(self, progress: Progress) -> None:
        """Remember the step; a tensor holds it, so that compiled code is not compiled again."""
        self.step.fill_(progress.step)

    @torch.no_grad()
    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        """B images, each a grid of L patches -> K parts: masked (B, K, Lm), and the same visible
        patches in each (B, K, Lv).

        Raises:
            ValueError: where a context may have fewer than `min_visible` patches even if it
                overlaps the targets.
        """
        largest, smallest = areas(grid, self.context_scale, (1.0, 1.0), self.border)
        if smallest < self.min_visible:
            raise ValueError(
                f"a context of {smallest} of {grid[0]} x {grid[1]} patches has fewer than "
                f"masker.min_visible={self.min_visible}; "
                f"use at most {smallest}, a larger masker.context_scale, or smaller patches"
            )
        B, K = len(batch.key), self.targets
        size = uniform(batch.key, 4, RATIO)
        if self.per == "batch" and self.training:  # -2 is no epoch: no image has the key of a step
            size = uniform(keys(self.seed, -2, self.step[None]), 4, RATIO).expand(B, -1)
        place = uniform(batch.key, 2 * (K + (K + 1) * ATTEMPTS), MASK).unflatten(1, (-1, 2))
        target = self.sides(size[:, :2], self.scale, self.aspect, grid)
        context = self.sides(size[:, 2:], self.context_scale, (1.0, 1.0), grid)
        targets = self.boxes(place[:, :K], target, grid)
        tried = self.boxes(place[:, K:], context, grid).unflatten(1, (K + 1, ATTEMPTS))
        longest = areas(grid, self.scale, self.aspect, self.border)[0]
        masked, masked_valid = indices(cover(targets, grid), longest)
        inside, _ = visible_of(targets, tried, grid, self.min_visible)
        visible, visible_valid = (x[:, None].expand(-1, K, -1) for x in indices(inside, largest))
        return Split(visible, masked, visible_valid, masked_valid, shared=True)

    def sides(self, draws: Tensor, scale: Range, aspect: Range, grid: tuple[int, int]) -> Tensor:
        """Uniforms (B, 2), for scale and aspect -> height and width of a block in patches (B, 2)
        int64.
        """
        draws = draws.double()
        area, shape = draws[:, 0], draws[:, 0 if self.one_draw else 1]
        area = (grid[0] * grid[1] * (scale[0] + area * (scale[1] - scale[0]))).floor()
        shape = aspect[0] + shape * (aspect[1] - aspect[0])
        side = torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], 1).round().long()
        most = torch.tensor([n - (not self.border) for n in grid], device=draws.device)
        return side.clamp(min=1).minimum(most)

    def boxes(self, draws: Tensor, side: Tensor, grid: tuple[int, int]) -> Tensor:
        """Uniforms (B, n, 2), sides (B, 2) -> boxes (B, n, 4) as (top, left, bottom, right) in
        patches, the last two excluded.
        """
        room = torch.tensor(grid, device=draws.device) - side + int(self.border)
        corner = (draws.double() * room[:, None]).long()
        return torch.cat([corner, corner + side[:, None]], -1)


def cover(box: Tensor, grid: tuple[int, int]) -> Tensor:
    """Boxes (..., 4) -> which patches are inside, (..., rows, columns) bool."""
    row, column = (torch.arange(n, device=box.device) for n in grid)
    top, left, bottom, right = box[..., None].unbind(-2)
    return ((row >= top) & (row < bottom))[..., :, None] & ((column >= left) & (column < right))[
        ..., None, :
    ]


def visible_of(
    targets: Tensor, tried: Tensor, grid: tuple[int, int], fewest: int
) -> tuple[Tensor, Tensor]:
    """Patches of the first context that is large enough (B, rows, columns) bool, and which of the
    tried it is (B,).

    Args:
        targets: boxes (B, K, 4).
        tried: boxes (B, K + 1, n, 4) of contexts. The first n may overlap no target, the next n the
            last target alone, and so on.
        grid: rows and columns.
        fewest: patches that make it large enough.
    """
    K = targets.shape[1]
    hidden = cover(targets, grid)  # (B, K, rows, columns)
    # (B, K + 1, rows, columns)
    free = torch.stack([~hidden[:, : K - i].any(1) for i in range(K + 1)], 1)
    # (B, (K + 1) * n, rows, columns)
    patches = (cover(tried, grid) & free[:, :, None]).flatten(1, 2)
    enough = patches.flatten(2).sum(-1) >= fewest
    first = enough.byte().argmax(1)  # of equal values, the first
    return patches[torch.arange(len(first), device=first.device), first], first


def indices(inside: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Patches (..., rows, columns) bool -> their numbers in order, padded to a length, and what is
    no padding: (..., length).
    """
    flat = inside.flatten(-2)
    order = flat.byte().argsort(dim=-1, descending=True, stable=True)[..., :length]
    return order, flat.gather(-1, order)


@torch.compiler.assume_constant_result
def areas(grid: tuple[int, int], scale: Range, aspect: Range, border: bool) -> tuple[int, int]:
    """Most and fewest patches of a block, whatever is drawn."""
    most, patches = [n - (not border) for n in grid], grid[0] * grid[1]
    found: set[int] = set()
    for area in range(int(patches * scale[0]), int(patches * scale[1]) + 1):
        low, high = (round(math.sqrt(area * ratio)) for ratio in aspect)
        for height in range(low, high + 1):  # that the widest and the narrowest of its shapes have
            least, greatest = ((height + half) ** 2 / max(1, area) for half in (-0.5, 0.5))
            for ratio in (max(aspect[0], least), min(aspect[1], greatest)):
                width = round(math.sqrt(area / ratio))
                found.add(min(max(1, height), most[0]) * min(max(1, width), most[1]))
    return max(found), min(found)
