"""Geometry of images as a transformer cuts them up."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mim.ranges import Size

PatchResize = Literal["bicubic", "pseudo_inverse"]
"""How a first layer is carried to patches of another size (`mim.weights.resize.resize_patches`)."""


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

    @classmethod
    def of(cls, image_size: Size, patch_size: Size, channels: int = 3) -> "Geometry":
        """Geometry of images that patches tile.

        Raises:
            ValueError: where the patch size does not divide the image size.
        """
        image, patch = pair(image_size), pair(patch_size)
        return cls(channels, image, patch, grid_of(image, patch))

    @property
    def patches(self) -> int:
        """L, patches of an image."""
        return self.grid[0] * self.grid[1]

    @property
    def values_per_patch(self) -> int:
        """P, pixel values of a patch: rows x columns x channels."""
        return self.patch_size[0] * self.patch_size[1] * self.channels


def pair(size: Size | Sequence[int]) -> tuple[int, int]:
    """Height and width of a size: of a number both, of a list its two values."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def by(size: Size | Sequence[int]) -> str:
    """A size in words: `32 x 64`."""
    height, width = pair(size)
    return f"{height} x {width}"


def check_heads(of: str, width: int, heads: int, setting: str = "heads") -> None:
    """Refuse attention heads that do not share a width equally.

    Args:
        of: whose they are.
        width: D, channels of a token.
        heads: how many.
        setting: name under which another number is given.

    Raises:
        ValueError: where they do not, naming whose they are and numbers of heads that would.
    """
    if width % heads:
        fitting = [count for count in range(1, width + 1) if width % count == 0]
        near = sorted(fitting, key=lambda count: abs(count - heads))[:2]
        raise ValueError(
            f"{of} got width={width}, heads={heads}; the heads must divide the width, e.g. "
            f"{setting}={' or '.join(map(str, sorted(near)))}"
        )


def grid_of(image_size: tuple[int, int], patch_size: Size) -> tuple[int, int]:
    """Rows and columns of patches.

    Raises:
        ValueError: where the patch size does not divide the image size.
    """
    (height, width), (tall, wide) = image_size, pair(patch_size)
    if height % tall or width % wide:
        fitting = [
            p for p in range(2, min(height, width) + 1) if height % p == 0 and width % p == 0
        ]
        given = tall if tall == wide else f"[{tall},{wide}]"
        raise ValueError(
            f"image size {height} x {width} is not divisible by patch_size={given}; "
            f"patch sizes that divide it: {', '.join(map(str, fitting)) or 'none'}"
        )
    return height // tall, width // wide
