"""Cut a map of an image as the image itself was cut."""

import torch
from torch import Tensor


def sampling_matrix(start: Tensor, stop: Tensor, size: int, out: int, samples: int) -> Tensor:
    """Weights (B, out, size) that read a line of `size` values from `start` to `stop`, fractions of
    its length (B,).

    The line is interpolated linearly between the centres of its values and constant beyond the
    outermost two. Each of the `out` results is the mean of `samples` points spread evenly over its
    share of the way.
    """
    share = (torch.arange(out * samples, device=start.device) + 0.5) / (out * samples)
    place = (start[:, None] + (stop - start)[:, None] * share) * size - 0.5
    place = place.clamp(0, size - 1)[..., None]  # (B, out * samples, 1)
    weight = (1 - (place - torch.arange(size, device=start.device)).abs()).clamp(min=0)
    return weight.unflatten(1, (out, samples)).mean(dim=2)


def cut_map(
    maps: Tensor,
    box: Tensor,
    flip: Tensor,
    grid: tuple[int, int],
    samples: tuple[int, int] = (1, 1),
) -> Tensor:
    """The exact bilinear crop, a whole batch at once.

    The release of AMT slices its map with `i // height`, which is always 0; this is what its paper
    (arXiv 2211.15362) describes.

    Args:
        maps: (B, rows, columns), each over a whole image.
        box: (B, 4), the crop as (x1, y1, x2, y2) in fractions of the image.
        flip: (B,) bool, whether the crop was mirrored left to right.
        grid: rows and columns of the result.
        samples: points per side of each result that are averaged, down and across: the pixels of a
            patch.

    Returns:
        (B, L) for the L places of the grid, row by row.
    """
    rows = sampling_matrix(box[:, 1], box[:, 3], maps.shape[1], grid[0], samples[0])
    columns = sampling_matrix(box[:, 0], box[:, 2], maps.shape[2], grid[1], samples[1])
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    return (rows @ maps.to(rows.dtype) @ columns.mT).flatten(1)
