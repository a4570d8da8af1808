"""Colour changes of self-distillation and contrast: jitter, grey, blur and solarization, in DINO's
order.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from mim.draw import COLOUR, uniform

RADIUS = (0.1, 2.0)
"""Of a blur, in pixels, whatever the size of the view (DINO, utils.py: GaussianBlur)."""


class JitterStrengths(NamedTuple):
    """Strengths of torchvision's ColorJitter: factors from 1 - s to 1 + s, and a hue from -s to s
    of the circle.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float


class Colours:
    """How the colours of one view change, drawn from its key: what DINO, iBOT, MSN, MoCo v3 and
    CMAE do to views.

    In order (DINO, main_dino.py: DataAugmentationDINO): jitter, of which brightness, contrast,
    saturation and hue come in an order that is drawn; grey; a Gaussian blur with a radius of 0.1 to
    2 pixels; all values of 128 and more inverted. On Pillow's images, as officially. All but the
    crop commutes with mirroring, which comes last.

    Args:
        jitter: strengths of brightness, contrast, saturation and hue.
        jittered: share of views that are jittered.
        grey: share that lose their colours.
        blur: share that are blurred.
        solarize: share that are solarized.

    Raises:
        ValueError: where a share is none, or a strength is out of its range.
    """

    def __init__(
        self, jitter: Sequence[float], jittered: float, grey: float, blur: float, solarize: float
    ):
        if len(jitter) != 4 or not (min(jitter) >= 0 and max(jitter[:3]) <= 1 and jitter[3] <= 0.5):
            raise ValueError(
                f"jitter={list(jitter)}; needs strengths of brightness, contrast, saturation (0 to "
                "1) and hue (0 to 0.5), e.g. "
                "jitter=[0.4,0.4,0.2,0.1]"
            )
        self.jitter, self.jittered, self.grey, self.blur, self.solarize = (
            JitterStrengths(*jitter),
            jittered,
            grey,
            blur,
            solarize,
        )
        for name, share in (
            ("jittered", jittered),
            ("grey", grey),
            ("blur", blur),
            ("solarize", solarize),
        ):
            if not 0 <= share <= 1:
                raise ValueError(
                    f"{name}={share}; needs a share of views from 0 to 1, e.g. {name}=0.5"
                )

    def __bool__(self) -> bool:
        """Whether any view changes at all."""
        jitters = self.jittered > 0 and max(self.jitter) > 0
        return jitters or max(self.grey, self.blur, self.solarize) > 0

    def __str__(self) -> str:
        strengths = " ".join(f"{strength:g}" for strength in self.jitter)
        jitter = f"jitter {strengths}" if self.jittered > 0 and max(self.jitter) > 0 else ""
        shares = {
            jitter: self.jittered,
            "grey": self.grey,
            "blurred": self.blur,
            "solarized": self.solarize,
        }
        return (
            ", ".join(f"{share:.0%} {name}" for name, share in shares.items() if name and share)
            or "as they are"
        )

    def __call__(self, image: Tensor, key: int) -> Tensor:
        """A view (3 or 1, H, W) uint8, changed as its key says -> the same.

        Raises:
            ValueError: where it has another number of channels, of which no colour is known.
        """
        if len(image) not in (1, 3):
            raise ValueError(
                f"colours of images of {len(image)} channels cannot change; take "
                "augment@data.augment=crop_flip"
            )
        u: list[float] = uniform(torch.tensor([key]), 13, COLOUR)[0].tolist()
        picture = F.to_pil_image(image)
        if u[0] < self.jittered:
            for change in sorted(range(4), key=lambda i: u[1 + i]):
                picture = _jitter(picture, change, u[5 + change], self.jitter)
        if u[9] < self.grey and len(image) == 3:
            picture = F.rgb_to_grayscale(picture, num_output_channels=3)
        if u[10] < self.blur:
            picture = picture.filter(
                ImageFilter.GaussianBlur(RADIUS[0] + u[11] * (RADIUS[1] - RADIUS[0]))
            )
        if u[12] < self.solarize:
            picture = F.solarize(picture, 128)
        return F.pil_to_tensor(picture)


def _jitter(picture: Image.Image, change: int, u: float, jitter: JitterStrengths) -> Image.Image:
    """One change of torchvision's ColorJitter, by its number; `u` in [0, 1) says how strong."""
    strength = jitter[change]
    if not strength:
        return picture
    if change == 3:
        return F.adjust_hue(picture, (2 * u - 1) * strength)
    adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)[change]
    low = max(0.0, 1 - strength)
    return adjust(picture, low + u * (1 + strength - low))
