"""Principal components of patch tokens as colours: what an encoder takes for alike (DINOv2, arXiv
2304.07193, figure 1).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mim.analysis.drawn_channels import as_colours
from mim.analysis.gallery import show_image
from mim.encoder.encoder import Encoder
from mim.figure.cells import cells, two_lines
from mim.figure.style import TEXT
from mim.figure.table import Drawn

HEADER = ("image", "checkpoint", "block", "row", "column", "first", "second", "third")
COLOURS = 3
# of the values of a component, at either end: the few beyond would leave the rest grey
CLIPPED = 0.01


class Components(NamedTuple):
    """First components of the patch tokens that one checkpoint's block makes of some images."""

    name: str
    block: int
    """Counted from 1."""
    value: Tensor
    """(B, rows, columns, 3), the first component first."""
    explained: float
    """Share of the variance of all tokens that the three hold."""


def principal(tokens: Tensor) -> tuple[Tensor, float]:
    """Tokens (N, D) -> their first three principal components (N, 3), and the share of the variance
    that these hold.

    A component's sign is free: the largest of its weights is positive here, so that a figure is the
    same every time.

    Raises:
        ValueError: where there are no three directions.
    """
    if min(len(tokens) - 1, tokens.shape[1]) < COLOURS:
        raise ValueError(
            f"{len(tokens)} patches of {tokens.shape[1]} numbers have no three components; show "
            "more images"
        )
    centred = (tokens - tokens.mean(dim=0)).double()
    variance, axes = torch.linalg.eigh(centred.T @ centred)  # ascending
    first = axes[:, -COLOURS:].flip(1)  # (D, 3)
    strongest = first.gather(0, first.abs().argmax(dim=0, keepdim=True))
    total = variance.clamp(min=0).sum().clamp(min=1e-12)
    return (centred @ (first * strongest.sign())).float(), (
        variance[-COLOURS:].sum() / total
    ).item()


@torch.no_grad()
def patch_components(
    encoder: Encoder, image: Tensor, name: str, block: int | None = None
) -> Components:
    """Run an encoder on whole, normalised images (B, C, H, W); its patches of all of them have
    components in common.

    Args:
        encoder: in eval mode.
        image: what it is shown.
        name: of the checkpoint.
        block: counted from 1; None for the last, whose tokens have the final norm applied.

    Raises:
        ValueError: where the encoder has no such block.
    """
    if block is not None and not 1 <= block <= encoder.depth:
        raise ValueError(f"--block={block}: {name} has blocks 1 to {encoder.depth}")
    number = block or encoder.depth
    (tokens,) = encoder.encode_blocks(encoder.embed(image), [number])
    tokens = (encoder.norm(tokens) if number == encoder.depth else tokens)[:, encoder.prefix :]
    value, explained = principal(tokens.flatten(0, 1))
    return Components(
        name, number, value.view(len(image), *encoder.geometry.grid, COLOURS), explained
    )


def pca_figure(image: Tensor, names: Sequence[str], components: Sequence[Components]) -> Drawn:
    """Rows are images, columns checkpoints; red, green and blue are the first, second and third
    component.

    A component is drawn from its lowest to its highest value among all images, but for the
    hundredth at either end.

    Args:
        image: (B, C, H, W) in [0, 1].
        names: of the images.
        components: of each checkpoint.
    """
    figure, axes = cells(len(image), 1 + len(components), image)
    titles = ["image", *(f"{two_lines(each.name)}\n{each.explained:.0%}" for each in components)]
    for title, axis in zip(titles, axes[0], strict=True):
        axis.set_title(title, fontsize=TEXT, pad=3)
    pictures = as_colours(image)
    painted = [colours(each.value) for each in components]
    for b, line in enumerate(axes):
        show_image(line[0], pictures[b])
        for axis, each in zip(line[1:], painted, strict=True):
            show_image(axis, each[b].permute(2, 0, 1))
    rows = [
        (names[b], each.name, each.block, row, column, *each.value[b, row, column].tolist())
        for b in range(len(image))
        for each in components
        for row in range(each.value.shape[1])
        for column in range(each.value.shape[2])
    ]
    said = ", ".join(
        f"{each.name} (block {each.block}, {each.explained:.0%} of the variance)"
        for each in components
    )
    return Drawn(
        figure,
        HEADER,
        rows,
        f"principal components of the patch tokens of {len(image)} image(s): {said}",
    )


def colours(value: Tensor) -> Tensor:
    """Components (B, rows, columns, 3) -> the same in [0, 1]."""
    flat = value.flatten(0, 2)
    low, high = flat.quantile(CLIPPED, dim=0), flat.quantile(1 - CLIPPED, dim=0)
    return ((value - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
