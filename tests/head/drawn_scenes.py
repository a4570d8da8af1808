"""Annotations and detections in COCO's and LVIS's formats, drawn from a seed, for average
precision.
"""

from random import Random
from typing import Any

import numpy as np

SIDES = {"drawn": tuple(range(6, 70)), "edges": (31, 32, 33, 95, 96, 97)}
"""Sides of objects; those of `edges` lie about the areas that tell small, medium and large
apart.
"""
HEIGHT, WIDTH = 100, 124

CASES: dict[str, dict[str, Any]] = {
    "plain": {"seed": 10},
    "crowds": {"seed": 11, "crowds": 0.5},
    "only_crowds": {"seed": 12, "crowds": 1.0},
    "ties": {"seed": 13, "scores": 3, "detections": 14},
    "edges": {"seed": 14, "sides": "edges"},
    "over_100": {"seed": 15, "images": 3, "categories": 2, "detections": 400},
    "over_100_ties": {"seed": 16, "images": 3, "categories": 2, "detections": 300, "scores": 4},
    "empty_images": {"seed": 17, "images": 9, "bare": 4, "blind": 4},
    "no_detections": {"seed": 18, "blind": 6},
    "no_annotations": {"seed": 19, "bare": 6},
    "nothing": {"seed": 20, "bare": 6, "blind": 6},
}


def drawn(
    seed: int,
    images: int = 6,
    categories: int = 4,
    objects: int = 5,
    detections: int = 9,
    crowds: float = 0.1,
    scores: int = 10_000,
    sides: str = "drawn",
    bare: int = 1,
    blind: int = 1,
    lvis: bool = False,
) -> tuple[dict[str, list[dict[str, Any]]], list[dict[str, Any]], list[np.ndarray]]:
    """Annotations, detections, and the masks of both in their order; run lengths are left to the
    caller.

    The first `bare` images have no object, the last `blind` no detection, and nothing is of the
    last category. Only `Random.random` is asked, whose numbers are the same in every version.
    """
    source = Random(seed)

    def below(count: int) -> int:
        return int(source.random() * count)

    def box() -> list[int]:
        width, height = (
            min(SIDES[sides][below(len(SIDES[sides]))], most) for most in (WIDTH, HEIGHT)
        )
        return [below(WIDTH - width + 1), below(HEIGHT - height + 1), width, height]

    numbers = [10 + 3 * number for number in range(images)]
    known: dict[int, list[tuple[list[int], int]]] = {number: [] for number in numbers}
    annotations, found, masks = [], [], []
    for number in numbers[bare:]:
        for _ in range(1 + below(objects)):
            place, category = box(), 1 + below(categories - 1)
            known[number].append((place, category))
            mask = _mask(place, round_=source.random() < 0.5)
            masks.append(mask)
            common = {"id": len(masks), "image_id": number, "category_id": 7 * category}
            annotations.append(
                common
                | {"iscrowd": int(source.random() < crowds and not lvis)}
                | {"area": float(mask.sum()), "bbox": place}
            )
    for number in numbers[: images - blind]:
        for _ in range(1 + below(detections) if detections < 100 else detections):
            place, category = box(), 1 + below(categories)
            if known[number] and source.random() < 0.75:
                place, own = known[number][below(len(known[number]))]
                category = own if source.random() < 0.9 else category
                far = (0, 1, 3, 9)[below(4)]
                x, y, width, height = (value + below(2 * far + 1) - far for value in place)
                x, y = min(max(x, 0), WIDTH - 4), min(max(y, 0), HEIGHT - 4)
                place = [x, y, min(max(width, 3), WIDTH - x), min(max(height, 3), HEIGHT - y)]
            masks.append(_mask(place, round_=source.random() < 0.5))
            score = (1 + below(scores)) / scores
            found.append(
                {"image_id": number, "category_id": 7 * category, "score": score, "bbox": place}
            )
    pictures = [{"id": number, "height": HEIGHT, "width": WIDTH} for number in numbers]
    names = [{"id": 7 * number, "name": f"c{number}"} for number in range(1, categories + 1)]
    if lvis:
        _federate(below, pictures, names, known)
    return {"images": pictures, "annotations": annotations, "categories": names}, found, masks


def _mask(box: list[int], round_: bool) -> np.ndarray:
    x, y, width, height = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    mask[y : y + height, x : x + width] = 1
    if round_:
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        mask[
            ((columns - x - width / 2) * height) ** 2 + ((rows - y - height / 2) * width) ** 2
            > (width * height / 2) ** 2
        ] = 0
        mask[y, x] = 1
    return mask


def _federate(below, pictures, names, known) -> None:
    """Say which categories were looked for in each picture, and how often each is."""
    for picture in pictures:
        there = {7 * category for _, category in known[picture["id"]]}
        absent = [each["id"] for each in names if each["id"] not in there]
        picture["neg_category_ids"] = [number for number in absent if below(2)]
        picture["not_exhaustive_category_ids"] = [
            number for number in sorted(there) if not below(3)
        ]
    for each, frequency in zip(names, "rcff" * len(names), strict=False):
        each |= {"frequency": frequency, "image_count": 1, "instance_count": 1}
