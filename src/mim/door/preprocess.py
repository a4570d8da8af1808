"""Preprocessing: pictures of any kind become images as an encoder was trained on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.augment.pictures import Centred
from mim.data.decode import decode
from mim.data.files import Files
from mim.image_format import ImageFormat
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

    def __call__(self, picture: Any) -> Tensor:
        """A picture -> its image (3, H, W), normalised.

        Args:
            picture: of Pillow, the path of a file, or an array or a tensor (H, W, 3), (3, H, W) or
                (H, W): uint8, or float in 0..1.

        Raises:
            FileNotFoundError: where there is no such file.
            ValueError: where it is no picture.
        """
        return self.normalise(self.cut(pixels_of(picture)))

    def cut(self, picture: Tensor) -> Tensor:
        """Pixels (3, h, w), uint8 or float in 0..1 -> the centre (3, H, W) uint8.

        Raises:
            ValueError: where images are no squares: pictures are cut to squares only.
        """
        height, width = self.image_size
        if height != width:
            raise ValueError(
                f"this encoder sees images of {height} x {width}, and pictures are cut to squares; give a tensor of that size"
            )
        if picture.dtype != torch.uint8:
            picture = (picture * 255).round().byte()  # resizing is in uint8, as for files
        interpolation: Any = self.images.interpolation
        centred = Centred(height, self.images.short_side(height), interpolation)
        (view,) = centred([picture], torch.zeros(1, dtype=torch.int64))
        return view.image[0]

    def fit(self, images: Tensor) -> Tensor:
        """Images (N, 3, h, w), uint8 or float in 0..1 -> (N, 3, H, W): as they are where they have
        the size of the encoder, resized and cut as pictures are where they have another."""
        if tuple(images.shape[2:]) == tuple(self.image_size):
            return images
        return torch.stack([self.cut(image) for image in images])

    def normalise(self, image: Tensor) -> Tensor:
        """Pixels (..., 3, H, W), uint8 or float in 0..1 -> normalised float32."""
        mean, std = (torch.tensor(values, device=image.device).view(-1, 1, 1) for values in self.images[:2])
        scaled = image.float() / 255 if image.dtype == torch.uint8 else image.float()
        return (scaled - mean) / std


def pixels_of(picture: Any) -> Tensor:
    """A picture of any kind -> its pixels (3, H, W), uint8 or float in 0..1.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it is no picture.
    """
    if isinstance(picture, str | Path):
        return _read(Path(picture))
    if isinstance(picture, Image.Image):
        if picture.mode not in MODES:
            raise ValueError(
                f"a picture of Pillow's mode {picture.mode} is no 8-bit picture; give the path of its file, or an array in 0..1"
            )
        return F.pil_to_tensor(picture.convert("RGB"))
    if isinstance(picture, np.ndarray | Tensor):
        return as_images(picture[None] if picture.ndim == 3 else picture[None, ..., None])[0]
    raise ValueError(
        f"a {type(picture).__name__} is no picture; give a path, a picture of Pillow, or an array of uint8 or of floats in 0..1"
    )


def as_images(value: "Tensor | np.ndarray") -> Tensor:
    """Array or tensor (N, 3, H, W) or (N, H, W, 3), or with 1 channel -> (N, 3, H, W), uint8 or float in 0..1.

    Raises:
        ValueError: where it has another shape or type, or floats outside of 0..1.
    """
    images = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
    if images.dtype != torch.uint8 and not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise ValueError(f"images of {kind} have no known range; give uint8 (0 to 255), or floats in 0..1")
    if images.ndim != 4 or not {1, 3} & {images.shape[1], images.shape[3]}:
        raise ValueError(
            f"images of shape {tuple(images.shape)}; needs (N, 3, height, width) or (N, height, width, 3), or 1 in place of 3"
        )
    if images.shape[1] not in (1, 3):
        images = images.permute(0, 3, 1, 2)
    if images.is_floating_point() and images.numel():
        low, high = (float(value) for value in images.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"a float image holds values from {low:g} to {high:g}; needs 0 to 1, not normalised: divide by 255, undo what was "
                "normalised, or clamp(0, 1) what resizing has overshot"
            )
    return images.expand(-1, 3, -1, -1)


def _read(file: Path) -> Tensor:
    try:
        return decode(Files([str(file)], [-1]).content(0))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no {printable(file)}; give a picture") from error
    except Exception as error:  # decoders raise what they like
        raise ValueError(f"{printable(file)} is no picture that can be read: {printable(error)}") from error


def with_statistics(
    images: ImageFormat | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> ImageFormat:
    """Image format with a user's mean and deviation of three channels in place of its own.

    Raises:
        ValueError: where they are others, or neither says them.
    """
    if images is None:
        if mean is None or std is None:
            raise ValueError("nothing says how images are normalised; give mean= and std=, of pixels in 0..1")
        images = ImageFormat(_three("mean", mean), _three("std", std))
    if mean is not None:
        images = images._replace(mean=_three("mean", mean))
    return images if std is None else images._replace(std=_three("std", std))


def _three(name: str, values: Sequence[float]) -> tuple[float, ...]:
    if len(values) != 3 or (name == "std" and min(values) <= 0):
        above = " above 0" if name == "std" else ""
        raise ValueError(f"{name}={list(values)}; needs three numbers{above}, for pixels in 0..1")
    return tuple(float(value) for value in values)
