"""Read one picture as RGB."""

from io import BytesIO

import torch
from PIL import Image
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as F

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
"""What counts as a picture (torchvision's `IMG_EXTENSIONS` and GIF)."""


def decode(content: Tensor) -> Tensor:
    """Bytes (size,) uint8 -> (3, H, W) uint8, of an animation the first frame; an error of many kinds where they are no picture."""
    try:
        image = decode_image(content, ImageReadMode.RGB)
    except RuntimeError:  # Pillow knows more formats; of a broken file, it says what is wrong in fewer words
        with Image.open(BytesIO(content.numpy().tobytes())) as picture:
            return F.pil_to_tensor(picture.convert("RGB"))
    image = image if image.dim() == 3 else image[0]
    return image if image.dtype == torch.uint8 else F.to_dtype(image, torch.uint8, scale=True)  # 16 bits a channel
