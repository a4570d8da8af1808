"""Nearest neighbours of images in the features of encoders: what an encoder takes for alike."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mim.analysis.drawn_channels import as_colours
from mim.analysis.gallery import show_image
from mim.figure.cells import cells, two_lines
from mim.figure.style import TEXT
from mim.figure.table import Drawn

HEADER = ("image", "checkpoint", "rank", "neighbour", "label", "similarity")


class Neighbours(NamedTuple):
    """Nearest pictures of some images, as one checkpoint's features have it."""

    name: str
    number: Tensor
    """(Q, k) of pictures that were searched, nearest first."""
    similarity: Tensor
    """(Q, k) cosine."""


def nearest(
    asked: Tensor, known: Tensor, count: int, itself: Sequence[int | None]
) -> tuple[Tensor, Tensor]:
    """Numbers (Q, k) and cosine similarities (Q, k) of the nearest pictures, nearest first.

    Args:
        asked: features (Q, D).
        known: features of the pictures that are searched (N, D).
        count: of neighbours, k.
        itself: number of each image among the pictures, which is no neighbour; None where it is
            none of them.

    Raises:
        ValueError: where there are not so many.
    """
    check_count(count, len(known) - any(number is not None for number in itself))
    similarity = normalize(asked, dim=1) @ normalize(known, dim=1).T
    for row, number in enumerate(itself):
        if number is not None:
            similarity[row, number] = -torch.inf
    value, found = similarity.topk(count, dim=1)
    return found, value


def check_count(count: int, there: int) -> None:
    """Refuse more neighbours than there are pictures.

    Raises:
        ValueError: naming both.
    """
    if count > there:
        raise ValueError(f"--count={count}: {there} pictures are searched; give that at most")


def neighbours_figure(
    image: Tensor,
    names: Sequence[str],
    found: Sequence[Neighbours],
    pictures: Mapping[int, Tensor],
    paths: Mapping[int, tuple[str, str]],
) -> Drawn:
    """Rows are images, for each checkpoint one; columns its neighbours, the nearest first, under
    their similarity.

    Args:
        image: (Q, C, H, W) in [0, 1].
        names: of the images.
        found: of each checkpoint.
        pictures: (C, H, W) in [0, 1] of the neighbours, by number.
        paths: paths and classes of the neighbours, by number.
    """
    count = found[0].number.shape[1]
    figure, axes = cells(len(image) * len(found), 1 + count, image)
    shown, rows = as_colours(image), list[Sequence[str | int | float]]()
    for q, name in enumerate(names):
        for number, each in enumerate(found):
            line = axes[q * len(found) + number]
            show_image(line[0], shown[q])
            if len(found) > 1:
                line[0].set_ylabel(two_lines(each.name), fontsize=TEXT)
            for rank, axis in enumerate(line[1:]):
                neighbour, value = int(each.number[q, rank]), float(each.similarity[q, rank])
                show_image(axis, as_colours(pictures[neighbour][None])[0])
                axis.set_title(f"{value:.2f}", fontsize=TEXT, pad=2)
                rows.append((name, each.name, rank + 1, *paths[neighbour], value))
    said = ", ".join(each.name for each in found)
    what = f"the {count} nearest neighbours of {len(image)} image(s): {said}"
    return Drawn(figure, HEADER, rows, what)
