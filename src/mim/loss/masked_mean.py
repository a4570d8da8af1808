"""The mean over masked patches."""

from torch import Tensor

from mim.masker.split import Split


def masked_mean(error: Tensor, split: Split) -> Tensor:
    """Errors of the masked patches (B, K, Lm) -> scalar; padding counts for nothing; where nothing is masked, 0."""
    if split.masked_valid is None:
        return error.mean()
    return (error * split.masked_valid).sum() / split.masked_valid.sum().clamp(min=1)
