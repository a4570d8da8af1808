"""Mean and deviation of pixels, by which images are normalised: numbers, ImageNet's, or those of
the data set itself.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mim.ranges import Positive

Channels = tuple[float, ...]
Known = Literal["own", "imagenet"]
Mean = Known | Channels
Deviation = Known | tuple[Positive, ...]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEASURED = 10_000
"""Images at most that the statistics of a data set are measured on, evenly spread."""


class Statistics(NamedTuple):
    """Mean and deviation of the pixels of many images, by channel, in [0, 1]."""

    mean: Channels
    std: Channels


def chosen(
    name: Literal["mean", "std"],
    given: str | Sequence[float] | None,
    own: Channels | None,
    channels: int,
    measured: Callable[[], Channels],
) -> Channels:
    """Values of each channel for pixels in [0, 1].

    Args:
        name: which statistic.
        given: a number for each channel, `imagenet`, or `own`; None for ImageNet's where there are
            three channels, else own.
        own: of the data set's training images; None where nobody has computed it.
        channels: C.
        measured: measures it, where it is not known.

    Raises:
        ValueError: for another word or number of numbers, no deviation, or ImageNet's three of
            other channels.
    """
    if given is None:
        given = "imagenet" if channels == 3 else "own"
    if given == "imagenet" and channels == 3:
        return IMAGENET_MEAN if name == "mean" else IMAGENET_STD
    if given == "imagenet":
        raise ValueError(
            f"data.{name}=imagenet is of three channels, and data.channels={channels}; give "
            f"data.{name}=own, or a number for each"
        )
    if given == "own":
        if own is not None and len(own) != channels and len(set(own)) == 1:
            own = (own[0],) * channels  # of grey images
        return own if own is not None and len(own) == channels else measured()
    if isinstance(given, str) or len(given) != channels or (name == "std" and min(given) <= 0):
        many = (
            "three numbers" if channels == 3 else f"{channels} number{'s' if channels > 1 else ''}"
        )
        example = ",".join(["0.5"] * min(channels, 3)) + (",.." if channels > 3 else "")
        raise ValueError(
            f"data.{name}={given if isinstance(given, str) else list(given)}; needs own, imagenet, "
            f"or {many}"
            f"{' above 0' if name == 'std' else ''} for pixels in [0, 1], e.g. "
            f"data.{name}=[{example}]"
        )
    return tuple(float(value) for value in given)


def measure(batches: Iterable[Tensor]) -> Statistics:
    """Mean and deviation over all pixels of batches (B, C, H, W) in 0..255.

    Raises:
        ValueError: where a channel is the same everywhere: nothing can be divided by its deviation.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for image in batches:
        pixels = image.double().div(255).transpose(0, 1).flatten(1)  # (C, B * H * W)
        count, total, squares = (
            count + pixels.shape[1],
            total + pixels.sum(1),
            squares + pixels.square().sum(1),
        )
    mean = total / count
    std = (squares / count - mean.square()).clamp(min=0).sqrt()
    flat = (std < 1e-6).nonzero()[:, 0].tolist()
    if flat:
        raise ValueError(
            f"channel {flat[0]} is {mean[flat[0]]:.4g} in every pixel, so there is no deviation to "
            "divide by; give data.range= "
            "for values of another range, or data.std="
        )
    return Statistics(tuple(mean.tolist()), tuple(std.tolist()))


@lru_cache
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Shares of 255 -> (C, 1, 1) of 0 to 255, copied to a device once: a copy in each step would
    wait for the device.
    """
    return torch.tensor(values, device=device).mul(255)[:, None, None]
