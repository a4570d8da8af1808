"""Learning rates as the sources compute them, written anew from their formulas (recipes/README.md,
`lr.shape`).
"""

import math
from collections.abc import Mapping
from typing import Any


def rate(
    lr: Mapping[str, Any], epoch: float, epochs: float, warmup: float, factor: float = 1.0
) -> float:
    """The rate of a group whose peak is `factor` times that of the head, at a fractional epoch.

    `mae_half_cosine`, `linspace_cosine` scale all of it, others keep absolute rates where the
    warm-up starts and the training ends.
    """
    peak, low, start = lr["peak"], lr.get("min") or 0.0, lr.get("warmup_start") or 0.0
    if lr["shape"] == "mae_half_cosine":
        if epoch < warmup:
            return factor * peak * epoch / warmup
        return factor * (low + (peak - low) * _half(epoch - warmup, epochs - warmup))
    if lr["shape"] == "linspace_cosine":
        return _linspace(factor * peak, factor * low, epoch, epochs, warmup, lr["steps_per_epoch"])
    if lr["shape"] == "stretched_cosine":
        if epoch < warmup:
            return start + (peak - start) * epoch / warmup
        return low + (peak - low) * _half(epoch - warmup, lr.get("stretch", 1.0) * epochs - warmup)
    if lr["shape"] == "mm_linear_cosine":
        share = lr["warmup_start_factor"]
        return _linspace(factor * peak, low, epoch, epochs, warmup, lr["steps_per_epoch"], share)
    step, per_epoch = round(epoch * lr["steps_per_epoch"]), lr["steps_per_epoch"]
    if lr["shape"] == "detectron2_multistep":
        passed = sum(step >= milestone for milestone in lr["milestones"])
        rise = min(1.0, step / lr["warmup_iterations"])
        return factor * peak * lr["factors"][passed] * (lr["warmup_factor"] * (1 - rise) + rise)
    if lr["shape"] == "mm_poly":
        left = (1 - step / round(epochs * per_epoch)) ** lr["power"]
        short = (1 - min(1.0, step / lr["warmup_iterations"])) * (1 - lr["warmup_factor"])
        return (low + (factor * peak - low) * left) * (1 - short)
    peak *= factor
    if lr["shape"] == "timm_cosine_by_epoch":
        epoch = max(0, math.floor(epoch + 1e-9) - 1)
    if epoch < warmup:
        return start + (peak - start) * epoch / warmup
    if lr["shape"].startswith("timm_cosine"):
        return low + (peak - low) * _half(epoch, epochs)
    if lr["shape"] == "multistep":
        return peak * lr["gamma"] ** sum(
            epoch >= milestone for milestone in lr["milestones_epochs"]
        )
    raise ValueError(f"no formula for {lr['shape']}")


def _linspace(
    peak: float,
    low: float,
    epoch: float,
    epochs: float,
    warmup: float,
    per_epoch: int,
    share: float = 0.0,
) -> float:
    """BEiT's table (utils.py: cosine_scheduler): `np.linspace(0, peak, warm)`, then a cosine;
    mmengine starts at a share.
    """
    step, warm, steps = (
        round(epoch * per_epoch),
        round(warmup * per_epoch),
        round(epochs * per_epoch),
    )
    if step < warm:
        return peak * (share + (1 - share) * step / (warm - 1))
    return low + (peak - low) * _half(step - warm, steps - warm)


def _half(done: float, total: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done / total))
