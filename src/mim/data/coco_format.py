"""Annotation file in COCO's format: read whole, and the first thing in it that cannot be is one
line.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mim.dense import Entry
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
        content = json.loads(file.read_text())
        lists = all(isinstance(content[name], list) for name in FIELDS)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{origin} is not in COCO's format: {printable(error)}") from error
    if not lists:
        raise ValueError(
            f"{origin} is not in COCO's format: images, annotations and categories are lists there"
        )
    for kind, fields in FIELDS.items():
        _check_entries(origin, kind, fields, content[kind])
    pictures = {each["id"]: each for each in content["images"]}
    for number, each in pictures.items():
        if min(each["height"], each["width"]) < 1:
            raise ValueError(
                f"{origin}: image {number} is empty, {each['height']} x {each['width']} pixels"
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
        which = (
            f"{origin}: {SINGULAR[kind]} {each.get('id', f'at place {number}')}"
            if isinstance(each, dict)
            else ""
        )
        if not which:
            raise ValueError(
                f"{origin}: the {SINGULAR[kind]} at place {number} is no entry with names and "
                "values"
            )
        for name, wanted in fields.items():
            if name not in each:
                raise ValueError(f"{which} has no {name}; it needs {', '.join(fields)}")
            if not isinstance(each[name], wanted):
                raise ValueError(
                    f"{which} has {name}={printable(each[name])}, which is not {WORDS[wanted]}"
                )
        if each["id"] in seen:
            raise ValueError(f"{which} is there twice; give each {SINGULAR[kind]} an id of its own")
        seen.add(each["id"])


def _check_annotation(
    which: str, annotation: Entry, pictures: Mapping[int, Entry], categories: set[int]
) -> None:
    picture = pictures.get(annotation["image_id"])
    if picture is None:
        raise ValueError(
            f"{which} is of image {annotation['image_id']}, which the file does not have"
        )
    if annotation["category_id"] not in categories:
        known = ", ".join(map(str, sorted(categories)[:10]))
        raise ValueError(
            f"{which} is of category {annotation['category_id']}, and there are {known}"
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
            f"{size[0]} x {size[1]} pixels"
        )
    said = _unsound(annotation["segmentation"], size)
    if said:
        raise ValueError(f"{which} has {said}")


def _unsound(segmentation: Any, size: tuple[int, int]) -> str | None:
    """What is wrong with a mask; None where nothing is. Compressed run lengths are read later."""
    if isinstance(segmentation, list):
        if all(isinstance(polygon, list) and len(polygon) % 2 == 0 for polygon in segmentation):
            return None
        return "a polygon that is no list of x, y, x, y, ..."
    if not {"size", "counts"} <= segmentation.keys():
        return "run lengths without size or counts"
    if list(segmentation["size"]) != list(size):
        return f"a mask of {list(segmentation['size'])} pixels, and its image {list(size)}"
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
