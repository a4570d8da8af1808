"""Errors of a prediction against a target, one for each masked patch."""

from collections.abc import Callable, Mapping
from typing import Literal

from torch import Tensor
from torch.nn.functional import cosine_similarity, layer_norm, smooth_l1_loss

from mim.masker.split import Split

Error = Literal["l1", "l2", "smooth_l1", "cosine", "normalised_l2", "cross_entropy"]


def l1(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference (SimMIM): two of (B, K, Lm, P) -> (B, K, Lm)."""
    return (prediction - target).abs().mean(-1)


def l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference (MAE): two of (B, K, Lm, P) -> (B, K, Lm)."""
    return (prediction - target).square().mean(-1)


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """Half the square of differences below `beta`, over `beta`; above, their size less `beta` / 2
    (data2vec).

    Two of (B, K, Lm, P) -> (B, K, Lm).
    """
    return smooth_l1_loss(prediction, target, reduction="none", beta=beta).mean(-1)


def normalised_l2(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of both, once the values of each patch have mean 0 and deviation 1
    (BootMAE's features).

    Two of (B, K, Lm, P) -> (B, K, Lm).
    """
    return l2(*(layer_norm(x, x.shape[-1:], eps=1e-6) for x in (prediction, target)))


def cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """1 less the cosine of the angle between the values of a patch; 1 where either has no length.

    Two of (B, K, Lm, P) -> (B, K, Lm).
    """
    return 1 - cosine_similarity(prediction, target, dim=-1)


def cross_entropy(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of the scores of all codes and the number of the right one (BEiT).

    (B, K, Lm, P) and (B, K, Lm, 1) int64 -> (B, K, Lm).
    """
    return -prediction.log_softmax(-1).gather(-1, target)[..., 0]


ERRORS: Mapping[Error, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "l2": l2,
    "smooth_l1": smooth_l1,
    "cosine": cosine,
    "normalised_l2": normalised_l2,
    "cross_entropy": cross_entropy,
}


def masked_mean(error: Tensor, split: Split) -> Tensor:
    """Errors of the masked patches (B, K, Lm) -> scalar; padding counts for nothing; where nothing
    is masked, 0.
    """
    if split.masked_valid is None:
        return error.mean()
    return (error * split.masked_valid).sum() / split.masked_valid.sum().clamp(min=1)
