"""Masks out of annotations: polygons and run-length encodings, by faster-coco-eval's copy of COCO's
own code.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mim.dense import Entry, coco_library

Segmentation = Sequence[Sequence[float]] | Entry


def run_lengths(mask: Tensor) -> Entry:
    """A mask (H, W) bool as uncompressed run lengths, column after column, zeros first."""
    column = mask.T.flatten()
    ends = (column[1:] != column[:-1]).nonzero()[:, 0] + 1
    edges = torch.cat([ends.new_zeros(1), ends, ends.new_tensor([len(column)])])
    counts = edges.diff().tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if bool(column[0]) else counts}


def is_compressed(segmentation: Segmentation) -> bool:
    """Whether a mask is told by run lengths as text, which only a reader finds out about."""
    return isinstance(segmentation, Mapping) and isinstance(segmentation["counts"], str)


def mask_of(segmentation: Segmentation, size: tuple[int, int], resized: tuple[int, int]) -> Tensor:
    """A mask (*resized) bool.

    Args:
        segmentation: polygons (x, y, x, y, ..), which are drawn at the size that is wanted, or run
            lengths.
        size: height and width of the picture.
        resized: height and width that it is resized to.

    Raises:
        ImportError: where faster-coco-eval is not installed.
    """
    library = coco_library("core.mask")
    if isinstance(segmentation, Mapping):
        runs = dict(segmentation)
        if isinstance(runs["counts"], list):
            runs = library.frPyObjects(runs, *size)
        mask = torch.from_numpy(library.decode(runs)).bool()
        if size == resized:
            return mask
        return interpolate(mask[None, None].float(), size=resized, mode="nearest-exact")[
            0, 0
        ].bool()
    scale = (resized[1] / size[1], resized[0] / size[0])
    polygons = [
        [value * scale[place % 2] for place, value in enumerate(each)]
        for each in segmentation
        if len(each) >= 6
    ]
    if not polygons:
        return torch.zeros(resized, dtype=torch.bool)
    return torch.from_numpy(
        library.decode(library.merge(library.frPyObjects(polygons, *resized)))
    ).bool()
