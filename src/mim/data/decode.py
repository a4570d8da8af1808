"""Read one picture file as RGB."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image, read_file
from torchvision.transforms.v2 import functional as F

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""What counts as a picture (torchvision's `IMG_EXTENSIONS` and GIF)."""


def read_picture(path: str | Path) -> Tensor:
    """A file -> (3, H, W) uint8, of an animation the first frame; an error of many kinds where it cannot be read."""
    try:
        image = decode_image(read_file(str(path)), ImageReadMode.RGB)
    except RuntimeError:  # Pillow knows more formats; of a broken file, it says what is wrong in fewer words
        with Image.open(path) as picture:
            return F.pil_to_tensor(picture.convert("RGB"))
    image = image if image.dim() == 3 else image[0]
    return image if image.dtype == torch.uint8 else F.to_dtype(image, torch.uint8, scale=True)  # 16 bits a channel
