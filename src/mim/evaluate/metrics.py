"""How often class scores are right, and how sure that number is."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from mim.evaluate.evaluation import Row

Z = 1.959964  # of a 95 % interval


def wilson(share: float, count: int) -> list[float]:
    """The 95 % interval of a share that was counted `count` times: [low, high].

    Wilson's score interval (JASA 22, 1927), which stays within 0 and 1 and is sound for shares near
    either end.
    """
    if count == 0:
        return [0.0, 1.0]
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return [max(0.0, centre - half), min(1.0, centre + half)]


def accuracies(score: Tensor, label: Tensor, classes: Sequence[str]) -> Row:
    """Top-1 accuracy; top-5 too where there are more than five classes; and by class: each with its
    95 % interval.

    Args:
        score: (M, classes).
        label: (M,).
        classes: their names.
    """
    found: Row = {}
    for k in (1, 5) if len(classes) > 5 else (1,):
        share = multiclass_accuracy(score, label, len(classes), average="micro", top_k=k).item()
        found |= {f"top{k}": share, f"top{k}_interval": wilson(share, len(label))}
    counts = torch.bincount(label, minlength=len(classes)).tolist()
    shares = multiclass_accuracy(score, label, len(classes), average=None).tolist()
    found["classes"] = {
        name: {"top1": share, "interval": wilson(share, count), "images": count}
        for name, share, count in zip(classes, shares, counts, strict=True)
    }
    return found
