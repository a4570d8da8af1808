"""Reconstructions as a picture: image, what the model saw, what it predicted, and both together."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from mim.geometry import grid_of
from mim.masker.split import Split
from mim.ranges import Size
from mim.tokens import patchify, unpatchify

MASKED_GREY = 0.5
THROWN_TINT = (0.15, 0.15, 0.35)


def scatter(patches: Tensor, index: Tensor, values: Tensor, valid: Tensor | None = None) -> Tensor:
    """Patches (B, L, P) with those at indices (B, M) replaced by values (B, M, P), padding left
    out.
    """
    if valid is not None:  # padding repeats an index: write what stands there already
        here = torch.gather(patches, 1, index[..., None].expand_as(values))
        values = torch.where(valid[..., None], values, here)
    return patches.scatter(1, index[..., None].expand_as(values), values)


def panels(image: Tensor, predicted: Tensor, split: Split, patch_size: Size) -> dict[str, Tensor]:
    """The four pictures of each image, in [0, 1].

    Args:
        image: (B, 3, H, W) in [0, 1].
        predicted: pixels of masked patches (B, Lm, P), in [0, 1], of one part.
        split: of that part, (B, 1, ...).
        patch_size: pixels per side of a patch, or (height, width).

    Returns:
        Rows by name, each (B, 3, H, W).
    """
    grid = grid_of((image.shape[2], image.shape[3]), patch_size)
    patches = patchify(image, patch_size)
    visible, masked = split.visible[:, 0], split.masked[:, 0]
    visible_valid = None if split.visible_valid is None else split.visible_valid[:, 0]
    masked_valid = None if split.masked_valid is None else split.masked_valid[:, 0]
    thrown = patches.new_tensor(THROWN_TINT).repeat(patches.shape[-1] // 3).expand_as(patches)
    shown = torch.gather(patches, 1, visible[..., None].expand(-1, -1, patches.shape[-1]))

    seen = scatter(thrown, masked, torch.full_like(predicted, MASKED_GREY), masked_valid)
    blank = torch.full_like(patches, MASKED_GREY)
    rows = {
        "image": patches,
        "masked": scatter(seen, visible, shown, visible_valid),
        "prediction": scatter(blank, masked, predicted, masked_valid),
        "with visible": scatter(
            scatter(thrown, visible, shown, visible_valid), masked, predicted, masked_valid
        ),
    }
    return {name: unpatchify(row, patch_size, grid).clamp(0, 1) for name, row in rows.items()}


def figure(rows: dict[str, Tensor], title: str = "") -> Figure:
    """A sheet: one row a kind, one column an image. Each (B, 3, H, W) in [0, 1]."""
    columns = len(next(iter(rows.values())))
    height, width = next(iter(rows.values())).shape[2:]
    cell = 1.1
    sheet = Figure(
        figsize=(cell * columns * width / height + 1.0, cell * len(rows) + 0.35),
        dpi=160,
        layout="compressed",
    )
    axes = sheet.subplots(len(rows), columns, squeeze=False)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture.permute(1, 2, 0).float().cpu().numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    if title:
        sheet.suptitle(title, fontsize=8)
    return sheet


def sheet(
    image: Tensor, predicted: Tensor, split: Split, patch_size: Size, title: str = ""
) -> Figure:
    """What the model makes of the first of K parts: (B, 3, H, W), (B, K, Lm, P), both in [0, 1],
    and the split.
    """
    return figure(panels(image, predicted[:, 0], split.part(0), patch_size), title)
