"""Detections drawn on a picture: masks, boxes, and names with scores that can be read."""

from collections.abc import Sequence
from colorsys import hsv_to_rgb

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

SHORTEST = 256
"""Pixels of the short side at least: smaller pictures are enlarged by a whole number."""
GOLDEN = 0.618034
"""Hues of neighbouring categories are this far apart, so that no two near ones look alike."""
OPACITY = 0.45

Colour = tuple[int, int, int]


def colour_of(category: int) -> Colour:
    """Red, green and blue of a category, the same in every picture."""
    red, green, blue = hsv_to_rgb(category * GOLDEN % 1, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    image: Tensor,
    box: Tensor,
    score: Tensor,
    category: Tensor,
    mask: Tensor,
    names: Sequence[str],
) -> Tensor:
    """A picture (3, H, W) uint8 with what is found in it, the highest score on top -> (3, f H, f W)
    uint8, f = 1 where the short side has `SHORTEST` pixels.

    Args:
        image: (3, H, W) uint8.
        box: (G, 4), x1 y1 x2 y2 in pixels of the picture.
        score: (G,), highest first.
        category: (G,), numbers of `names`.
        mask: (G, H, W) bool.
        names: of the categories.
    """
    factor = -(-SHORTEST // min(image.shape[-2:])) if min(image.shape[-2:]) < SHORTEST else 1
    colours = [colour_of(number) for number in category.tolist()]
    pixels = image.float()
    for one, colour in reversed(list(zip(mask, colours, strict=True))):
        tint = torch.tensor(colour, dtype=torch.float32)[:, None]
        pixels[:, one] = (1 - OPACITY) * pixels[:, one] + OPACITY * tint
    large = pixels.round().byte().repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    picture = to_pil_image(large)
    draw = ImageDraw.Draw(picture)
    side = min(picture.size)
    font = ImageFont.load_default(max(12, side // 32))
    corners = (box * factor).tolist()
    for corner, colour in reversed(list(zip(corners, colours, strict=True))):
        draw.rectangle(_within(corner, picture), outline=colour, width=max(2, side // 256))
    texts = [
        f"{names[number]} {value:.2f}"
        for number, value in zip(category.tolist(), score.tolist(), strict=True)
    ]
    for corner, colour, text in reversed(list(zip(corners, colours, texts, strict=True))):
        _write(draw, picture, corner, colour, text, font)
    return pil_to_tensor(picture)


def _within(corner: Sequence[float], picture: Image.Image) -> tuple[float, float, float, float]:
    """A box whose far lines are still in the picture."""
    x1, y1, x2, y2 = corner
    x2, y2 = min(x2, picture.width - 1), min(y2, picture.height - 1)
    return min(x1, x2), min(y1, y2), x2, y2


def _write(
    draw: ImageDraw.ImageDraw,
    picture: Image.Image,
    corner: Sequence[float],
    colour: Colour,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """A label over the upper left corner of a box, under it where the picture ends."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(corner[0], picture.width - width))
    y = corner[1] - height if corner[1] >= height else max(0, corner[1])
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140  # luma of BT.601
    draw.text((x + 2 - left, y + 2 - top), text, fill="black" if bright else "white", font=font)
