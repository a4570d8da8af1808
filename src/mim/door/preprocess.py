"""Preprocessing: pictures of any kind become images as an encoder was trained on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.augment.centre import CentreCrop
from mim.data.decode import decode
from mim.data.files import Files
from mim.data.levels import Reading, as_channels, channels_first, to_levels
from mim.image_format import ImageFormat, Range
from mim.plain import printable

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
"""Of Pillow's pictures, those with 8 bits a channel or fewer."""


class Preprocess:
    """Preprocessing of a picture: resized by its short side, its centre cut out, normalised.

    Args:
        image_size: height and width of an image in pixels.
        images: how pictures become images: normalisation, short side, interpolation.
    """

    def __init__(self, image_size: tuple[int, int], images: ImageFormat):
        self.image_size, self.images = image_size, images

    def __call__(self, picture: object) -> Tensor:
        """A picture -> its image (C, H, W), normalised.

        Args:
            picture: of Pillow, the path of a file, or an array or a tensor (H, W, C), (C, H, W) or
                (H, W): uint8, or float in 0..1.

        Raises:
            FileNotFoundError: where there is no such file.
            ValueError: where it is no picture.
        """
        pixels = pixels_of(picture, self.images.channels, self.images.range)
        return self.normalise(self.cut(pixels))

    def cut(self, picture: Tensor) -> Tensor:
        """Pixels (c, h, w), uint8 or float in 0..1 -> the centre (C, H, W), uint8, or float in 0..1
        where the picture has levels between those of uint8.

        Raises:
            ValueError: where it has channels that cannot be made those of the encoder.
        """
        picture = as_channels(picture, self.images.channels)
        if picture.dtype != torch.uint8:
            levels_of = picture * 255
            eight_bits = levels_of.round()  # resizing is in uint8, as for files
            exact = torch.allclose(eight_bits, levels_of, rtol=0, atol=1e-3)
            picture = eight_bits.byte() if exact else levels_of
        centred = CentreCrop(
            self.image_size, self.images.short_side(min(self.image_size)), self.images.interpolation
        )
        (view,) = centred([picture], torch.zeros(1, dtype=torch.int64))
        image = view.image[0]
        return image if image.dtype == torch.uint8 else image / 255

    def fit(self, images: Tensor) -> Tensor:
        """Images (N, c, h, w), uint8 or float in 0..1 -> (N, C, H, W): as they are where they have
        the size of the encoder, resized and cut as pictures are where they have another."""
        if tuple(images.shape[2:]) == tuple(self.image_size):
            return as_channels(images, self.images.channels)
        return torch.stack([self.cut(image) for image in images])

    def normalise(self, image: Tensor) -> Tensor:
        """Pixels (..., C, H, W), uint8 or float in 0..1 -> normalised float32."""
        mean, std = (
            torch.tensor(values, device=image.device).view(-1, 1, 1) for values in self.images[:2]
        )
        scaled = image.float() / 255 if image.dtype == torch.uint8 else image.float()
        return (scaled - mean) / std


def pixels_of(picture: object, channels: int = 3, range: Range = None) -> Tensor:
    """A picture of any kind -> its pixels (C, H, W), uint8 or float in 0..1.

    Args:
        picture: of Pillow, a path, an array or a tensor.
        channels: C.
        range: which of its values are black and white; None by their type.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no picture.
    """
    if isinstance(picture, str | Path):
        return _read(Path(picture), channels, range)
    if isinstance(picture, Image.Image):
        if range is not None or picture.mode.startswith("I;16"):
            values = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
            return as_channels(to_levels(channels_first(values, channels), range), channels) / 255
        if picture.mode not in MODES:
            raise ValueError(
                f"a picture of Pillow's mode {picture.mode} is no 8-bit picture; give the path of "
                "its file, or an array in 0..1"
            )
        return F.pil_to_tensor(picture.convert("L" if channels == 1 else "RGB"))
    if isinstance(picture, np.ndarray | Tensor):
        return as_images(
            picture[None] if picture.ndim == 3 else picture[None, ..., None], channels, range
        )[0]
    raise ValueError(
        f"a {type(picture).__name__} is no picture; give a path, a picture of Pillow, or an array "
        "of uint8 or of floats in 0..1"
    )


def as_images(value: "Tensor | np.ndarray", channels: int = 3, range: Range = None) -> Tensor:
    """Array or tensor (N, C, H, W) or (N, H, W, C), or with 1 channel -> (N, C, H, W), uint8 or
    float in 0..1.

    With a range its values may be of any type and size: those that are black and white, of all
    images or of each its own.

    Raises:
        ValueError: where it has another shape or type, or floats outside of 0..1.
    """
    if range is not None and value.ndim == 4 and len(value):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        value = torch.stack([to_levels(each, range) for each in array]) / 255
    images = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
    if images.dtype != torch.uint8 and not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise ValueError(
            f"images of {kind} have no known range; give uint8 (0 to 255), or floats in 0..1"
        )
    known = {1, 3, channels}
    if images.ndim != 4 or not known & {images.shape[1], images.shape[3]}:
        raise ValueError(
            f"images of shape {tuple(images.shape)}; needs (N, {channels}, height, width) or (N, "
            f"height, width, {channels}), or "
            f"1 in place of {channels}"
        )
    if images.shape[1] != channels and (
        images.shape[3] == channels or images.shape[1] not in known
    ):
        images = images.permute(0, 3, 1, 2)
    if images.is_floating_point() and images.numel():
        low, high = (float(value) for value in images.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"a float image holds values from {low:g} to {high:g}; needs 0 to 1, not "
                "normalised: divide by 255, undo what was "
                "normalised, or clamp(0, 1) what resizing has overshot"
            )
    return as_channels(images, channels)


def _read(file: Path, channels: int, range: Range) -> Tensor:
    try:
        pixels = decode(
            Files([str(file)], [-1]).content(0), Reading(channels=channels, range=range)
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {printable(file)}; give a picture") from error
    except Exception as error:  # decoders raise what they like
        raise ValueError(
            f"{printable(file)} is no picture that can be read: {printable(error)}"
        ) from error
    return pixels if pixels.dtype == torch.uint8 else pixels / 255


def with_statistics(
    images: ImageFormat | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> ImageFormat:
    """Image format with a user's mean and deviation of each channel in place of its own.

    Raises:
        ValueError: where they are others, or neither says them.
    """
    if images is None:
        if mean is None or std is None:
            raise ValueError(
                "nothing says how images are normalised; give mean= and std=, of pixels in 0..1"
            )
        images = ImageFormat(_numbers("mean", mean, len(mean)), _numbers("std", std, len(mean)))
    if mean is not None:
        images = images._replace(mean=_numbers("mean", mean, images.channels))
    return images if std is None else images._replace(std=_numbers("std", std, images.channels))


def _numbers(name: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(values) != channels or (name == "std" and min(values) <= 0):
        above = " above 0" if name == "std" else ""
        many = (
            "three numbers" if channels == 3 else f"{channels} number{'' if channels == 1 else 's'}"
        )
        raise ValueError(f"{name}={list(values)}; needs {many}{above}, for pixels in 0..1")
    return tuple(float(value) for value in values)
