"""Mean and deviation of pixels, by which images are normalised: numbers, ImageNet's, or those of the data set itself."""

from collections.abc import Sequence
from typing import Literal

from mim.ranges import Positive

Channels = tuple[float, float, float]
Known = Literal["own", "imagenet"]
Mean = Known | Channels
Deviation = Known | tuple[Positive, Positive, Positive]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def chosen(name: Literal["mean", "std"], given: str | Sequence[float], own: Channels | None) -> Channels:
    """Values of red, green and blue for pixels in [0, 1].

    Args:
        name: which statistic.
        given: three numbers, `imagenet`, or `own`.
        own: of the data set's training images; null where nobody has computed it.

    Raises:
        ValueError: for another word, other than three numbers, no deviation, or `own` where there is none.
    """
    if given == "imagenet":
        return IMAGENET_MEAN if name == "mean" else IMAGENET_STD
    if given == "own":
        if own is None:
            raise ValueError(
                f"data.{name}=own, but nobody has computed it for this data set; take data.{name}=imagenet, or three numbers, "
                f"e.g. data.{name}=[0.5,0.5,0.5]"
            )
        return own
    if isinstance(given, str) or len(given) != 3 or (name == "std" and min(given) <= 0):
        raise ValueError(
            f"data.{name}={given if isinstance(given, str) else list(given)}; needs own, imagenet, or three numbers"
            f"{' above 0' if name == 'std' else ''} for pixels in [0, 1], e.g. data.{name}=[0.5,0.5,0.5]"
        )
    red, green, blue = (float(value) for value in given)
    return red, green, blue
