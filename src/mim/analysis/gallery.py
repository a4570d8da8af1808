"""Maskers side by side as a picture: rows are images, columns what each masker makes of them."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from mim.analysis.mask_statistics import indicator
from mim.geometry import grid_of
from mim.masker.split import Split
from mim.ranges import Size
from mim.tokens import patchify, unpatchify

MASKED = (0.83, 0.83, 0.83)
THROWN = (0.36, 0.47, 0.66)
WIDTH = 7.0  # inches: the text width of most papers


def covered(image: Tensor, split: Split, patch_size: Size) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] with masked patches grey and thrown ones blue; of K parts the
    first.
    """
    patches = patchify(image, patch_size)
    masked, visible = _sets(split, patches.shape[1])
    grey, blue = (
        patches.new_tensor(colour).repeat(patches.shape[-1] // 3) for colour in (MASKED, THROWN)
    )
    # what was thrown shines through
    shown = torch.where(visible[..., None] > 0, patches, 0.25 * patches + 0.75 * blue)
    shown = torch.where(masked[..., None] > 0, grey, shown)
    return unpatchify(shown, patch_size, grid_of((image.shape[2], image.shape[3]), patch_size))


def caption(split: Split, image: int, patches: int) -> str:
    """The share of one image that is masked, plus what is thrown: `75%`, `45% + 40%`."""
    masked, visible = (share[image].float().mean().item() for share in _sets(split, patches))
    thrown = 1 - masked - visible
    return f"{masked:.0%} + {thrown:.0%}" if thrown > 1e-6 else f"{masked:.0%}"


def gallery(
    image: Tensor, heat: Mapping[str, Tensor], splits: Mapping[str, Split], patch_size: Size
) -> Figure:
    """The picture.

    Args:
        image: (B, 3, H, W) in [0, 1].
        heat: what maskers look at, by name: (B, L) in [0, 1].
        splits: by masker.
        patch_size: pixels per side of a patch, or (height, width).
    """
    B, _, height, width = image.shape
    grid = grid_of((height, width), patch_size)
    columns = 1 + len(heat) + len(splits)
    side = (WIDTH - 0.04 * (columns - 1)) / columns
    sheet = Figure(figsize=(WIDTH, B * (side * height / width + 0.14) + 0.5), dpi=300)
    axes = sheet.subplots(B, columns, squeeze=False)
    sheet.subplots_adjust(
        left=0,
        right=1,
        top=1 - 0.2 / sheet.get_figheight(),
        bottom=0.3 / sheet.get_figheight(),
        wspace=0.04,
    )
    sheet.subplots_adjust(hspace=0.14 / (side * height / width))
    for name, axis in zip(["image", *heat, *splits], axes[0], strict=True):
        axis.set_title(name, fontsize=8, pad=3)

    masks = {name: covered(image, split, patch_size) for name, split in splits.items()}
    for row in range(B):
        line = iter(axes[row])
        show_image(next(line), image[row])
        for values in heat.values():
            show_heat(next(line), image[row], values[row].view(grid))
        for name, split in splits.items():
            axis = next(line)
            show_image(axis, masks[name][row])
            axis.set_xlabel(caption(split, row, grid[0] * grid[1]), fontsize=6, labelpad=1.5)
    thrown = any("+" in caption(split, 0, grid[0] * grid[1]) for split in splits.values())
    _legend(sheet, thrown)
    return sheet


def _sets(split: Split, patches: int) -> tuple[Tensor, Tensor]:
    """1 at masked, and at visible patches of the first part: (B, L) each."""
    pairs = ((split.masked, split.masked_valid), (split.visible, split.visible_valid))
    masked, visible = (
        indicator(i[:, 0], None if v is None else v[:, 0], patches) for i, v in pairs
    )
    return masked, visible


def bare(axis: Axes) -> None:
    """No ticks and no frame."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def show_image(axis: Axes, picture: Tensor) -> None:
    """(3, H, W) in [0, 1]."""
    axis.imshow(picture.permute(1, 2, 0).clamp(0, 1).float().cpu().numpy(), interpolation="nearest")
    bare(axis)


def show_heat(axis: Axes, picture: Tensor, values: Tensor) -> None:
    """Values (rows, columns) in [0, 1] over a pale grey copy of the picture (3, H, W)."""
    height, width = picture.shape[1:]
    axis.imshow(
        picture.mean(0).float().cpu().numpy(),
        cmap="gray",
        vmin=-0.3,
        vmax=1,
        interpolation="nearest",
    )
    edges = (-0.5, width - 0.5, height - 0.5, -0.5)
    axis.imshow(
        values.float().cpu().numpy(),
        cmap="magma",
        vmin=0,
        vmax=1,
        alpha=0.7,
        extent=edges,
        interpolation="nearest",
    )
    bare(axis)


def _legend(sheet: Figure, thrown: bool) -> None:
    kinds = {"masked: predicted from what is visible": MASKED}
    if thrown:
        kinds["+ thrown: neither seen nor predicted"] = THROWN
    handles = [Patch(facecolor=colour, label=label) for label, colour in kinds.items()]
    sheet.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        fontsize=6.5,
        frameon=False,
        borderpad=0,
        handlelength=1.2,
        handleheight=1.2,
    )
