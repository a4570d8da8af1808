"""Random resized crops as the sources draw them, and whether boxes of ours have the same
distribution.
"""

import math
import random
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

SIZES = ((375, 500), (100, 600), (480, 320))
"""Height and width of pictures: in the second, many boxes do not fit."""
DRAWS = 2000

Sides = tuple[int, int]
Interval = tuple[float, float]


@cache
def torchvision_boxes(size: Sides, scale: Interval, ratio: Interval) -> Tensor:
    """torchvision's, which timm's draws equal: (DRAWS, 2) as (height, width)."""
    torch.manual_seed(0)
    picture = torch.empty(1, *size)
    drawn = [RandomResizedCrop.get_params(picture, list(scale), list(ratio)) for _ in range(DRAWS)]
    return torch.tensor([box[2:] for box in drawn], dtype=torch.float)


@cache
def clamped_boxes(size: Sides, scale: Interval, ratio: Interval) -> Tensor:
    """MAE's for linear probing (util/crop.py): one draw, cut to the picture: (DRAWS, 2) as (height,
    width).
    """
    chance = random.Random(0)
    boxes = []
    for _ in range(DRAWS):
        area = size[0] * size[1] * chance.uniform(*scale)
        aspect = math.exp(chance.uniform(math.log(ratio[0]), math.log(ratio[1])))
        sides = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        boxes.append([min(side, whole) for side, whole in zip(sides, size, strict=True)])
    return torch.tensor(boxes, dtype=torch.float)


KINDS: dict[str, Callable[[Sides, Interval, Interval], Tensor]] = {
    "torchvision RandomResizedCrop": torchvision_boxes,
    "timm RandomResizedCropAndInterpolation": torchvision_boxes,
    "mmpretrain RandomResizedCrop": torchvision_boxes,
    "MAE linear-probe crop": clamped_boxes,
}


def difference(ours: Tensor, theirs: Tensor, size: Sides) -> str | None:
    """What two sets of boxes (N, 2) as (height, width) differ in, beyond chance; None where nothing
    does.
    """
    for name, measure in (("scale", _area), ("ratio", _aspect)):
        a, b = measure(ours, size), measure(theirs, size)
        # large boxes seldom fit: their tail is thin
        for end, chance in ((0.005, 0.015), (0.995, 0.03)):
            found, wanted = a.quantile(end), b.quantile(end)
            if (found - wanted).abs() > chance:
                return f"{name} at quantile {end}: {found:.3f} instead of {wanted:.3f} on {size}"
        # 1.95 * sqrt(2 / DRAWS): one in a thousand by chance
        if (gap := kolmogorov_smirnov(a, b)) > 0.06:
            return f"distribution of {name}: {gap:.3f} apart on {size}"
    return None


def kolmogorov_smirnov(a: Tensor, b: Tensor) -> float:
    """The largest difference of two empirical distributions (N,), (N,)."""
    both = torch.cat([a, b]).sort().values
    shares = [
        torch.searchsorted(part.sort().values, both, right=True) / len(part) for part in (a, b)
    ]
    return (shares[0] - shares[1]).abs().max().item()


def _area(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    return boxes.prod(1) / (size[0] * size[1])


def _aspect(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    return (boxes[:, 1] / boxes[:, 0]).log()
