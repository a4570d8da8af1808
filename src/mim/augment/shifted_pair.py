"""Two views of one crop, the second shifted by a few pixels and in other colours (CMAE, arXiv
2207.13532, section 3.1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mim.augment.augmentation import Cut, OneView
from mim.augment.colours import Colours
from mim.augment.crop_flip import Boxes, CropFlip
from mim.augment.resample import Interpolation
from mim.draw import SHIFT, uniform, view_key
from mim.ranges import NonNegativeInt, NotNegative, Share


class _Shifted(CropFlip):
    """One of the two: crop, mirror and the margin around it are shared, and decided by the image's
    own key.
    """

    def __init__(
        self,
        boxes: Boxes,
        flip: float,
        interpolation: Interpolation,
        margin: int,
        shift: int,
        colours: Colours | None,
    ):
        super().__init__(boxes, flip, interpolation)
        self.margin, self.shift, self.colours, self.paints = margin, shift, colours, bool(colours)

    def __call__(self, key: Tensor, size: Tensor) -> Cut:
        """Keys of images (B,), sizes (B, 2) as (height, width) -> the crop, and where in it the
        view lies.
        """
        box, flip, _ = super().__call__(key, size)
        # U[0, 1) has 24 bits, so the product stays below the number of places
        corner = (uniform(view_key(key, 1), 2, SHIFT) * (self.shift + 1)).long()
        # Officially mirrored before it is shifted; here after, so the corner is counted from the
        # other side.
        left = torch.where(flip, self.margin - corner[:, 1], corner[:, 1])
        return Cut(box, flip, torch.stack([corner[:, 0], left], 1))

    def paint(self, image: Tensor, key: int) -> Tensor:
        """The view in other colours."""
        return self.colours(image, key) if self.colours else image


class ShiftedPair:
    """A view for the online encoder, and a second one of the same crop for the target (CMAE).

    A crop is resized to `margin` pixels a side more than a view has. The first view is its top left
    corner, in its own colours; the second begins up to `shift` pixels further down and to the
    right, drawn apart, and its colours are changed (ZhichengHuang/CMAE,
    cmae/datasets/cmae_dataset.py and pipelines/processing.py: ShiftPixel).

    Args:
        boxes: the recipe for crops.
        margin: pixels per side that a crop has more than a view: 32, for 256 where a view has 224.
        shift: pixels that the second view is shifted by at most, down and to the right.
        flip: probability of mirroring left to right, both views alike.
        interpolation: how a crop is resized.
        jitter: strengths of brightness, contrast, saturation and hue, of the second view.
        jittered: share of second views that are jittered.
        grey: share that lose their colours.
        blur: share that are blurred.
        solarize: share that are solarized.

    Raises:
        ValueError: where a view would be shifted out of its crop, or a number is out of its range.
    """

    def __init__(
        self,
        boxes: Boxes,
        margin: NonNegativeInt = 32,
        shift: NonNegativeInt = 31,
        flip: Share = 0.5,
        interpolation: Interpolation = "bicubic",
        jitter: Sequence[NotNegative] = (0.4, 0.4, 0.4, 0.1),
        jittered: Share = 0.8,
        grey: Share = 0.2,
        blur: Share = 0.5,
        solarize: Share = 0.0,
    ):
        if not 0 <= shift <= margin:
            raise ValueError(
                f"shift={shift} leaves the crop, which has margin={margin} pixels to spare; e.g. "
                f"shift={margin}"
            )
        self.interpolation = interpolation
        colours = Colours(jitter, jittered, grey, blur, solarize)
        self._views = (
            _Shifted(boxes, flip, interpolation, margin, 0, None),
            _Shifted(boxes, flip, interpolation, margin, shift, colours),
        )
        self._said = (
            f"2 views of one crop: {self._views[0]}; the second shifted by up to {shift} pixels, "
            f"{colours}"
        )

    @property
    def views(self) -> tuple[OneView, ...]:
        """The online view, and the shifted one."""
        return self._views

    def __str__(self) -> str:
        return self._said
