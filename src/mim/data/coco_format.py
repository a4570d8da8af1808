"""Annotation file in COCO's format: read whole, and the first thing in it that cannot be is one
line.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mim.dense import Entry
from mim.geometry import by
from mim.plain import printable

Kind = type | tuple[type, ...]
FIELDS: dict[str, dict[str, Kind]] = {
    "images": {"id": int, "height": int, "width": int},
    "annotations": {
        **{"id": int, "image_id": int, "category_id": int},
        **{"bbox": list, "segmentation": (list, dict)},
    },
    "categories": {"id": int, "name": str},
}
"""What each entry must have."""
WORDS: dict[Kind, str] = {
    int: "a whole number",
    str: "text",
    list: "a list",
    (list, dict): "polygons or run lengths",
}
SINGULAR = {"images": "image", "annotations": "annotation", "categories": "category"}
OUTSIDE = 2.0
"""Pixels that a box may reach over the border of its image: annotators are not that exact."""
LARGEST = 2**63 - 1
"""Largest id: they are 64 bits where masks are drawn."""
WIDEST = 2**16
"""Pixels of a side: masks are drawn at the size that the file says."""


def read_annotations(file: Path) -> Entry:
    """Content of an annotation file, checked: images, annotations and categories.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: one line about the first entry that cannot be.
    """
    origin = printable(file)
    if not file.is_file():
        raise FileNotFoundError(
            f"there are no annotations in {origin}; set data.root, or the files of annotations"
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{origin} is not in COCO's format: {printable(error)}") from error
    named = content if isinstance(content, dict) else {}
    lacks = [name for name in FIELDS if not isinstance(named.get(name), list)]
    if lacks:
        raise ValueError(
            f"{origin} is not in COCO's format: it has no list of {lacks[0]}; it needs images, "
            "annotations and categories"
        )
    for kind, fields in FIELDS.items():
        _check_entries(origin, kind, fields, content[kind])
    for kind in ("images", "categories"):
        if not content[kind]:
            raise ValueError(f"{origin} has no {SINGULAR[kind]}; detection needs one at least")
    pictures = {each["id"]: each for each in content["images"]}
    for number, each in pictures.items():
        if min(each["height"], each["width"]) < 1:
            raise ValueError(
                f"{origin}: image {number} is empty, {each['height']} x {each['width']} pixels"
            )
        if max(each["height"], each["width"]) > WIDEST:
            raise ValueError(
                f"{origin}: image {number} has {each['height']} x {each['width']} pixels; a side "
                f"has at most {WIDEST:,}"
            )
        for field in ("neg_category_ids", "not_exhaustive_category_ids"):
            said = each.get(field, [])
            if not isinstance(said, list) or not all(type(one) is int for one in said):
                raise ValueError(
                    f"{origin}: image {number} has {field}={_shown(said)}, which is no list of "
                    "whole numbers"
                )
    categories = {each["id"] for each in content["categories"]}
    for each in content["annotations"]:
        _check_annotation(f"{origin}: annotation {each['id']}", each, pictures, categories)
    return content


def _check_entries(
    origin: str, kind: str, fields: Mapping[str, Kind], entries: Sequence[Any]
) -> None:
    """Whether each has the fields that it needs, and an id of its own."""
    seen = set()
    for number, each in enumerate(entries, start=1):
        if not isinstance(each, dict):
            raise ValueError(
                f"{origin}: the {SINGULAR[kind]} at place {number} is no entry with names and "
                "values"
            )
        called = _shown(each["id"]) if "id" in each else f"at place {number}"
        which = f"{origin}: {SINGULAR[kind]} {called}"
        for name, wanted in fields.items():
            if name not in each:
                raise ValueError(f"{which} has no {name}; it needs {', '.join(fields)}")
            if not isinstance(each[name], wanted) or isinstance(each[name], bool):
                raise ValueError(
                    f"{which} has {name}={_shown(each[name])}, which is not {WORDS[wanted]}"
                )
        if abs(each["id"]) > LARGEST:
            raise ValueError(f"{which} has an id of more than 64 bits; number them from 1")
        if each["id"] in seen:
            raise ValueError(f"{which} is there twice; give each {SINGULAR[kind]} an id of its own")
        seen.add(each["id"])


def _shown(value: object) -> str:
    """A value as messages show it; text in quotes, for `"5"` is no number."""
    return printable(json.dumps(value) if isinstance(value, str) else value, 60)


def _check_annotation(
    which: str, annotation: Entry, pictures: Mapping[int, Entry], categories: set[int]
) -> None:
    picture = pictures.get(annotation["image_id"])
    if picture is None:
        raise ValueError(
            f"{which} is of image {annotation['image_id']}, which the file does not have; leave "
            "it out, or add the image"
        )
    if annotation["category_id"] not in categories:
        known = ", ".join(map(str, sorted(categories)[:10]))
        raise ValueError(
            f"{which} is of category {annotation['category_id']}, and there are {known}; give it "
            "one of them, or add the category"
        )
    box, size = annotation["bbox"], (picture["height"], picture["width"])
    if len(box) != 4 or not all(isinstance(value, int | float) and value == value for value in box):
        raise ValueError(
            f"{which} has the box {printable(box)}; it needs four numbers, x, y, width and height"
        )
    x, y, width, height = box
    if min(width, height) < 0:
        raise ValueError(
            f"{which} has the box {box} (x, y, width, height), whose width or height is negative"
        )
    if min(x, y) < -OUTSIDE or x + width > size[1] + OUTSIDE or y + height > size[0] + OUTSIDE:
        raise ValueError(
            f"{which} has the box {box} (x, y, width, height), which reaches out of its image of "
            f"{by(size)} pixels; cut it there, or mend the image's height and width"
        )
    crowd, area = annotation.get("iscrowd", 0), annotation.get("area", 0)
    if crowd not in (0, 1):
        raise ValueError(f"{which} has iscrowd={_shown(crowd)}; it is 0 or 1")
    if not isinstance(area, int | float) or not 0 <= area < math.inf:
        raise ValueError(f"{which} has area={_shown(area)}; it is a number of pixels, or left out")
    said = _unsound(annotation["segmentation"], size)
    if said:
        raise ValueError(f"{which} has {said}")


def _unsound(segmentation: Any, size: tuple[int, int]) -> str | None:
    """What is wrong with a mask; None where nothing is. Compressed run lengths are read later."""
    if isinstance(segmentation, list):
        if not all(isinstance(polygon, list) and len(polygon) % 2 == 0 for polygon in segmentation):
            return "a polygon that is no list of x, y, x, y, ..."
        return next((said for each in segmentation if (said := _unsound_points(each, size))), None)
    if not {"size", "counts"} <= segmentation.keys():
        return "run lengths without size or counts"
    if segmentation["size"] != list(size):
        return f"a mask of {printable(segmentation['size'])} pixels, and its image {list(size)}"
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if (
            not all(isinstance(count, int) and count >= 0 for count in counts)
            or sum(counts) != size[0] * size[1]
        ):
            return f"run lengths that are not those of its image of {size[0]} x {size[1]} pixels"
    elif not isinstance(counts, str):
        return "run lengths that are neither numbers nor text"
    return None


def _unsound_points(polygon: Sequence[Any], size: tuple[int, int]) -> str | None:
    """What is wrong with a polygon; it may reach as far out of the image as that is large, for what
    is outside is cut off.
    """
    try:
        sound = math.isfinite(sum(polygon))
    except TypeError:
        sound = False
    if not sound:
        return f"a polygon with a point that is no number: {printable(polygon, 60)}"
    for name, values, side in (("x", polygon[::2], size[1]), ("y", polygon[1::2], size[0])):
        if values and (min(values) < -side or max(values) > 2 * side):
            far = min(values) if min(values) < -side else max(values)
            return f"a polygon with {name}={far:g}, far outside of its image of {by(size)} pixels"
    return None
