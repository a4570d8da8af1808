"""Term of a loss: the error of predictions against a target, or a relation between predictions of another term."""

from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mim.loss.error import ERRORS, Error
from mim.loss.masked_mean import masked_mean
from mim.masker.split import Split
from mim.precision import at_least_single
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
