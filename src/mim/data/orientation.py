"""Orientation of a picture, as cameras and scanners write it into a file (EXIF 2.3, section 4.6.4,
tag 274).
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

TAG = 274
UNDOES = {6: 8, 8: 6}
"""What undoes a quarter turn; everything else undoes itself."""


def orientation_of(picture: Image.Image) -> int:
    """Orientation 1 to 8 that an opened picture of Pillow says; 1, stored as it is shown, where it
    says none.
    """
    if picture.format == "PNG":
        picture.load()  # what it says may stand behind its pixels
    if isinstance(picture, TiffImageFile):
        said = picture.tag_v2.get(TAG, 1)
    else:
        said = picture.getexif().get(TAG, 1) if "exif" in picture.info else 1
    return said if type(said) is int and 1 <= said <= 8 else 1


def shown(pixels: NDArray, orientation: int, is_turned: bool, turn: bool) -> NDArray:
    """Pixels as they are to be shown, or as they are stored.

    Args:
        pixels: (C, H, W).
        orientation: 1 to 8.
        is_turned: whether a decoder has turned them.
        turn: whether they are to be turned.
    """
    if orientation == 1 or is_turned == turn:
        return pixels
    return turned(pixels, orientation if turn else UNDOES.get(orientation, orientation))


def turned(pixels: NDArray, orientation: int) -> NDArray:
    """Pixels (C, H, W) as they are stored -> as they are shown; (C, W, H) for orientations 5 to
    8.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(-1, -2)
    across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(pixels[:, :: -1 if down else 1, :: -1 if across else 1])
