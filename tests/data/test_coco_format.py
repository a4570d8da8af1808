"""Annotation files that cannot be: each is one line that names the file and the entry."""

import json
from copy import deepcopy

import pytest

from mim.data.coco_format import read_annotations

CONTENT = {
    "images": [{"id": 7, "height": 10, "width": 12, "file_name": "a.png"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 3,
            "bbox": [2, 1, 6, 5],
            "segmentation": [[2, 1, 8, 1, 8, 6]],
        },
        {
            **{"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 2, 2]},
            **{"iscrowd": 1, "segmentation": {"size": [10, 12], "counts": [0, 2, 8, 2, 108]}},
        },
    ],
    "categories": [{"id": 3, "name": "early"}],
}
GONE = object()


def read(tmp_path, content):
    file = tmp_path / "all.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_annotations(file)


def changed(kind, field, value, number=0):
    content = deepcopy(CONTENT)
    if value is GONE:
        del content[kind][number][field]
    else:
        content[kind][number][field] = value
    return content


def run_lengths(**settings):
    return changed("annotations", "segmentation", {"size": [10, 12], "counts": [120]} | settings)


def twice(kind):
    return CONTENT | {kind: [*CONTENT[kind], CONTENT[kind][0]]}


def test_what_is_sound_is_read_as_it_is(tmp_path):
    assert read(tmp_path, CONTENT) == CONTENT
    flat = changed("annotations", "bbox", [2, 1, 6, 0])  # two of COCO's own boxes have no height
    assert read(tmp_path, flat) == flat
    assert read(tmp_path, run_lengths(counts="PPYo0"))
    assert read(tmp_path, changed("annotations", "bbox", [-1.5, 0, 15.5, 12]))
    assert read(tmp_path, changed("annotations", "iscrowd", False))
    assert read(tmp_path, changed("annotations", "area", 12.5))
    assert read(tmp_path, changed("annotations", "id", 0))
    assert read(tmp_path, changed("images", "neg_category_ids", [3]))
    assert read(tmp_path, changed("annotations", "segmentation", [[-9, 1, 8, 1, 23.5, 6]]))
    assert read(tmp_path, "\ufeff" + json.dumps(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed("images", "height", 0), "image 7 is empty, 0 x 12 pixels"),
        (changed("images", "width", 10**9), "image 7 has 10 x 1000000000 pixels; a side has at"),
        (changed("images", "neg_category_ids", 3), "neg_category_ids=3, which is no list of"),
        (changed("images", "neg_category_ids", ["3"]), r"neg_category_ids=\['3'\], which is no"),
        (changed("images", "not_exhaustive_category_ids", None), "ids=None, which is no list of"),
        (changed("images", "height", GONE), "image 7 has no height; it needs id, height, width"),
        (changed("images", "id", GONE), "image at place 1 has no id"),
        (changed("images", "width", "12"), 'image 7 has width="12", which is not a whole number'),
        (changed("annotations", "bbox", GONE), "annotation 1 has no bbox; it needs id, image_id, "),
        (changed("annotations", "segmentation", GONE), "annotation 1 has no segmentation"),
        (
            changed("annotations", "segmentation", None),
            r"segmentation=None, .* not polygons or run",
        ),
        (
            changed("annotations", "category_id", 4),
            "annotation 1 is of category 4, and there are 3",
        ),
        (changed("annotations", "image_id", 5), "annotation 1 is of image 5, which the file does"),
        (
            changed("annotations", "bbox", [2, 1, 30, 5]),
            "the box .* reaches out of its image of 10 x 12",
        ),
        (changed("annotations", "bbox", [-3, 1, 3, 5]), "the box .* reaches out of its image"),
        (changed("annotations", "bbox", [8, 6, -6, 5]), "whose width or height is negative"),
        (changed("annotations", "bbox", [2, 1, 6, -5]), "whose width or height is negative"),
        (
            changed("annotations", "bbox", [2, 1, 6]),
            "it needs four numbers, x, y, width and height",
        ),
        (changed("annotations", "bbox", ["2", 1, 6, 5]), "it needs four numbers"),
        (changed("annotations", "bbox", [float("nan"), 1, 6, 5]), "it needs four numbers"),
        (
            changed("annotations", "segmentation", [2, 1, 8, 1, 8, 6]),
            "a polygon that is no list of x, y",
        ),
        (
            changed("annotations", "segmentation", [[2, 1, 8, 1, 8]]),
            "a polygon that is no list of x, y",
        ),
        (
            run_lengths(size=[12, 10]),
            r"a mask of \[12, 10\] pixels, and its image \[10, 12",
        ),
        (
            run_lengths(counts=[50, 50]),
            "run lengths that are not those of its image of 10 x 12 pixels",
        ),
        (run_lengths(counts=[150, -30]), "run lengths that are not those of its image"),
        (run_lengths(counts=None), "run lengths that are neither numbers nor text"),
        (changed("annotations", "segmentation", {"size": [10, 12]}), "without size or counts"),
        (changed("categories", "name", GONE), "category 3 has no name; it needs id, name"),
        (changed("annotations", "iscrowd", "0"), 'annotation 1 has iscrowd="0"; it is 0 or 1'),
        (changed("annotations", "iscrowd", 2), "annotation 1 has iscrowd=2; it is 0 or 1"),
        (changed("annotations", "iscrowd", None), "annotation 1 has iscrowd=None; it is 0 or 1"),
        (changed("annotations", "area", -5), "annotation 1 has area=-5; it is a number of pixels"),
        (changed("annotations", "area", float("nan")), "annotation 1 has area=nan"),
        (changed("annotations", "area", "large"), 'annotation 1 has area="large"'),
        (changed("annotations", "id", True), "id=True, which is not a whole number"),
        (changed("images", "id", 2**70), "has an id of more than 64 bits; number them from 1"),
        (
            changed("annotations", "segmentation", [[1, 2, float("nan"), 4, 5, 6]]),
            r"a polygon with a point that is no number: \[1, 2, nan",
        ),
        (
            changed("annotations", "segmentation", [["a", 2, 3, 4, 5, 6]]),
            "a polygon with a point that is no number",
        ),
        (
            changed("annotations", "segmentation", [[1, 2, 1e30, 4, 5, 6]]),
            r"a polygon with x=1e\+30, far outside of its image of 10 x 12 pixels",
        ),
        (
            changed("annotations", "segmentation", [[1, 2, 24.5, 4, 5, 6]]),
            "a polygon with x=24.5, far outside of its image",
        ),
        (
            changed("annotations", "segmentation", [[1, 2, 3, -11, 5, 6]]),
            "a polygon with y=-11, far outside of its image",
        ),
        (run_lengths(size=5), "a mask of 5 pixels, and its image"),
        (run_lengths(size=["10", "12"]), "a mask of .* pixels, and its image"),
        (CONTENT | {"annotations": [], "categories": []}, "has no category; detection needs one"),
        (CONTENT | {"annotations": [], "images": []}, "has no image; detection needs one"),
        ("[" * 100_000, "is not in COCO's format: maximum recursion depth"),
        (twice("images"), "image 7 is there twice; give each image an id of its own"),
        (twice("annotations"), "annotation 1 is there twice"),
        (twice("categories"), "category 3 is there twice"),
        (CONTENT | {"annotations": [[1, 2]]}, "the annotation at place 1 is no entry with names"),
        (CONTENT | {"images": {"a": 1}}, "no list of images; it needs images, annotations and cat"),
        ({"images": [], "annotations": []}, "no list of categories; it needs"),
        ({"images": []}, "is not in COCO's format"),
        ([1], "is not in COCO's format"),
        ("{{{", "is not in COCO's format"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path, content, words):
    with pytest.raises(ValueError, match=words) as refused:
        read(tmp_path, content)
    assert "\n" not in str(refused.value)
    assert "all.json" in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there are no annotations in .*none\.json; set data.root"
    ):
        read_annotations(tmp_path / "none.json")
