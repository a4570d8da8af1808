"""Geometry of images as a transformer cuts them up."""

from typing import NamedTuple


class Geometry(NamedTuple):
    """Geometry: what an image is to an encoder, in pixels and patches."""

    channels: int
    """C, channels of an image."""
    image_size: tuple[int, int]
    """Height and width in pixels."""
    patch_size: tuple[int, int]
    """Height and width of a patch in pixels."""
    grid: tuple[int, int]
    """Rows and columns of patches; L is their product."""
