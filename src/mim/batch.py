"""What every data set yields and every model takes."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images and where they came from. A named tuple, so that it moves between devices and through `torch.compile` as it is."""

    image: Tensor
    """(B, 3, H, W), normalised float once on the training device."""
    label: Tensor
    """(B,) int64, -1 where the data set has no labels."""
    index: Tensor
    """(B,) int64, the image's place in its data set: stable over epochs."""
    box: Tensor
    """(B, 4) float32, the crop as (x1, y1, x2, y2) in fractions of the source image."""
    flip: Tensor
    """(B,) bool, whether the crop was mirrored left to right."""
    key: Tensor
    """(B,) int64, from which `mim.draw` takes all that is random about this image in this step."""
