"""Several crops of one image: a few that show much of it, and many small ones (SwAV, arXiv
2006.09882; DINO, iBOT, MSN).
"""

from collections.abc import Sequence

from torch import Tensor

from mim.augment.augmentation import Cut, OneView
from mim.augment.boxes import TorchvisionBoxes
from mim.augment.colours import Colours
from mim.augment.crop_flip import CropFlip
from mim.augment.resample import Interpolation
from mim.draw import view_key
from mim.ranges import Count, NonNegativeInt, NotNegative, Share, Shares, Span, in_range

LOCAL_SCALE, LOCAL_SIZE = (0.05, 0.25), 96
"""Of local crops, where nothing else is said."""


class _Crop(CropFlip):
    """One of the crops, by its number."""

    def __init__(
        self,
        number: int,
        size: int | None,
        boxes: TorchvisionBoxes,
        flip: float,
        interpolation: Interpolation,
        colours: Colours,
    ):
        super().__init__(boxes, flip, interpolation)
        self.number, self.size = number, size
        self.colours, self.paints = colours, bool(colours)

    def __str__(self) -> str:
        return f"{super().__str__()}, {self.colours}"

    def __call__(self, key: Tensor, size: Tensor) -> Cut:
        """Keys of images (B,), sizes (B, 2) as (height, width) -> where this crop of each lies."""
        return super().__call__(view_key(key, self.number), size)

    def paint(self, image: Tensor, key: int) -> Tensor:
        """The crop in other colours."""
        return self.colours(image, key)


class MultiCrop:
    """Global crops, then local ones; each drawn from a key of its own, the first from the image's.

    Numbers for the first global crop, the other global ones and the local ones stand side by side,
    as DINO's and iBOT's views differ (main_dino.py: DataAugmentationDINO; iBOT,
    main_ibot.py:574-621).

    Args:
        global_crops: how many.
        local_crops: how many; 0 for none.
        global_scale: smallest and largest share of the image's area in a global crop.
        local_scale: the same of a local one.
        local_size: pixels per side of a local crop; the global ones have the data set's
            `image_size`.
        ratio: smallest and largest width / height of what is cropped.
        flip: probability of mirroring left to right, for each crop.
        interpolation: how a crop is resized.
        jitter: strengths of brightness, contrast, saturation and hue.
        jittered: share of crops that are jittered.
        grey: share that lose their colours.
        blur: share that are blurred: of first, other and local crops.
        solarize: share that are solarized, likewise.

    Raises:
        ValueError: where a number is out of its range, or something is said of local crops and
            there are none.
    """

    @in_range
    def __init__(
        self,
        global_crops: Count = 2,
        local_crops: NonNegativeInt = 10,
        global_scale: Shares = (0.25, 1.0),
        local_scale: Shares = LOCAL_SCALE,
        local_size: Count = LOCAL_SIZE,
        ratio: Span = (3 / 4, 4 / 3),
        flip: Share = 0.5,
        interpolation: Interpolation = "bicubic",
        jitter: Sequence[NotNegative] = (0.4, 0.4, 0.2, 0.1),
        jittered: Share = 0.8,
        grey: Share = 0.2,
        blur: Sequence[Share] = (1.0, 0.1, 0.5),
        solarize: Sequence[Share] = (0.0, 0.2, 0.0),
    ):
        for name, shares in (("blur", blur), ("solarize", solarize)):
            if len(shares) != 3:
                raise ValueError(
                    f"{name}={list(shares)}; needs three shares, of first, other and local crops, "
                    f"e.g. {name}=[1.0,0.1,0.5]"
                )
        of_local = {
            "local_scale": (list(local_scale), list(LOCAL_SCALE)),
            "local_size": (local_size, LOCAL_SIZE),
        }
        for name, (given, usual) in of_local.items():
            if not local_crops and given != usual:
                raise ValueError(
                    f"data.augment.{name}={given} would do nothing: there are no local crops; "
                    f"give data.augment.local_crops=10 as well, or leave it at {usual}"
                )
        self.interpolation = interpolation
        first = Colours(jitter, jittered, grey, blur[0], solarize[0])
        other = Colours(jitter, jittered, grey, blur[1], solarize[1])
        local = Colours(jitter, jittered, grey, blur[2], solarize[2])
        large, small = TorchvisionBoxes(global_scale, ratio), TorchvisionBoxes(local_scale, ratio)
        self._views: tuple[OneView, ...] = (
            _Crop(0, None, large, flip, interpolation, first),
            *(_Crop(i, None, large, flip, interpolation, other) for i in range(1, global_crops)),
            *(
                _Crop(global_crops + i, local_size, small, flip, interpolation, local)
                for i in range(local_crops)
            ),
        )
        self._kinds = (
            (0, 1, ""),
            (1, global_crops - 1, ""),
            (global_crops, local_crops, f"{local_size} x {local_size}: "),
        )

    @property
    def views(self) -> tuple[OneView, ...]:
        """The global crops, then the local ones."""
        return self._views

    def __str__(self) -> str:
        return "; ".join(
            f"{count} of {size}{self._views[first]}" for first, count, size in self._kinds if count
        )
