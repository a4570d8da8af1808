"""Term of a loss: the error of predictions against a target, or a relation between predictions of another term."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mim.loss.error import ERRORS, Error
from mim.loss.masked_mean import masked_mean
from mim.masker.split import Split
from mim.precision import at_least_single
from mim.target import frequency, hog, pixel
from mim.target.target import Target


@runtime_checkable
class Relation(Protocol):
    """Term that predicts nothing itself, and looks at what another one predicts."""

    of: str
    """Name of that one."""

    def __call__(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, 3, H, W) and the masked indices (B, K, Lm) -> scalar."""


class Term(nn.Module):
    """Mean error over masked patches: any target with any error.

    Args:
        target: what the predictions are compared with.
        error: "l1", "l2", "smooth_l1" or "cosine", of the values of a patch (`mim.loss.error`).
    """

    def __init__(self, target: Target, error: Error = "l2"):
        super().__init__()
        self.target, self.error = target, error
        self.target_dim = target.dim

    def forward(self, prediction: Tensor, image: Tensor, split: Split) -> Tensor:
        """(B, K, Lm, P), (B, 3, H, W) and the masked indices (B, K, Lm) -> scalar.

        Padding counts for nothing.
        """
        error = ERRORS[self.error](at_least_single(prediction), self.target(image, split))
        return masked_mean(error, split)


class Pixel(Term):
    """Term of pixels: squared error of standardised patches (MAE), unless its settings say otherwise.

    Args:
        patch_size, normalise: of the target (`mim.target.pixel`).
        norm: the error.
    """

    def __init__(self, patch_size: int, normalise: bool = True, norm: Error = "l2"):
        super().__init__(pixel.Pixel(patch_size, normalise), norm)


class HOG(Term):
    """Term of histograms of oriented gradients: squared error (MaskFeat), unless `norm` says otherwise.

    Args:
        patch_size, cells, bins: of the target (`mim.target.hog`).
        norm: the error.
    """

    def __init__(self, patch_size: int, cells: int = 2, bins: int = 9, norm: Error = "l2"):
        super().__init__(hog.HOG(patch_size, cells, bins), norm)


class Frequency(Term):
    """Term of low frequencies: absolute error, unless `norm` says otherwise.

    Args:
        patch_size, keep, normalise: of the target (`mim.target.frequency`).
        norm: the error.
    """

    def __init__(self, patch_size: int, keep: int | None = None, normalise: bool = True, norm: Error = "l1"):
        super().__init__(frequency.Frequency(patch_size, keep, normalise), norm)
