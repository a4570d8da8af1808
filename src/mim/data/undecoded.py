"""Batch of pictures as files have them: what workers hand over where a GPU decodes."""

from typing import NamedTuple

from torch import Tensor


class Undecoded(NamedTuple):
    """Batch of pictures of which JPEGs are not decoded yet; few tensors, whatever their number."""

    content: Tensor
    """(bytes,) uint8, one picture after another."""
    length: Tensor
    """(B,) int64, bytes of each."""
    shape: Tensor
    """(B, 3) int64, channels, height and width."""
    depth: Tensor
    """(B,) int64, bytes of a value where the pixels are decoded; 0 where they are a JPEG."""
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    """(B,) int64, places in the data set."""
    key: Tensor
    """(B,) int64."""
