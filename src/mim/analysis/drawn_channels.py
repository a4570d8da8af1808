"""Channels that are drawn: three of an image's as red, green and blue, or one as grey."""

from collections.abc import Sequence

from torch import Tensor


def drawn_channels(channels: int, chosen: Sequence[int] | None = None) -> list[int]:
    """Numbers of the three channels that are drawn as red, green and blue, counted from 0.

    Args:
        channels: C, of an image.
        chosen: three of them, or one, which is drawn grey; None for the first three, and for the
            first of fewer, grey.

    Raises:
        ValueError: where they are not one or three of those that there are.
    """
    if chosen is None:
        return [0, 1, 2] if channels >= 3 else [0, 0, 0]
    numbers = list(chosen)
    if len(numbers) not in (1, 3) or not all(0 <= number < channels for number in numbers):
        raise ValueError(
            f"channels={numbers} cannot be drawn of images of {channels}; give one, or three for "
            "red, green and blue, each "
            f"from 0 to {channels - 1}, e.g. "
            f"channels={[0] if channels < 3 else [channels - 1, 1, 0]}"
        )
    return numbers * 3 if len(numbers) == 1 else numbers


def as_colours(image: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
    """Images (.., C, H, W) -> what is drawn of them (.., 3, H, W)."""
    return image[..., drawn_channels(image.shape[-3], chosen), :, :]


def patches_as_colours(
    pixels: Tensor, channels: int, chosen: Sequence[int] | None = None
) -> Tensor:
    """Patches (.., P), channels last -> what is drawn of them, three values a pixel."""
    return pixels.unflatten(-1, (-1, channels))[..., drawn_channels(channels, chosen)].flatten(-2)
