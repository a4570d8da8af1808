"""What a model returns."""

from typing import NamedTuple

from torch import Tensor

from mim.masker.split import Split


class Reconstruction(NamedTuple):
    """Predicted values of the masked patches, in the order of `split.masked`."""

    prediction: Tensor
    """(B, K, Lm, P)."""
    split: Split
