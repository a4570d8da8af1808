"""Average precision of drawn scenes against pycocotools and lvis, to 1e-9.

Crowds, equal scores, sides about the areas that tell small from large, more than 100 detections,
images without objects or without detections.
"""

import json
from typing import Any

import pytest
import torch

from mim.head.average_precision import average_precision, encoded
from tests.head.drawn_scenes import CASES, drawn
from tests.stored import OWN

STORED = json.loads((OWN / "drawn_ap.json").read_text())
OF_LVIS = list(STORED["lvis"])


def scene(name: str, lvis: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and detections, with their masks as run lengths."""
    truth, found, masks = drawn(**CASES[name], lvis=lvis)
    if masks:
        runs = encoded(torch.stack([torch.from_numpy(mask.copy()) for mask in masks]).bool())
        for entry, run in zip([*truth["annotations"], *found], runs, strict=True):
            entry["segmentation"] = run
    return truth, found


def same(ours: float | None, theirs: float | None) -> bool:
    return ours is theirs if None in (ours, theirs) else abs(ours - theirs) < 1e-9


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_pycocotools(name, kind):
    truth, found = scene(name)
    ours, theirs = average_precision(truth, found, kind), STORED["coco"][name][kind]
    for number in ("AP", "AP50", "AP75", "APs", "APm", "APl"):
        assert same(ours[number], theirs[number]), number
    for category in truth["categories"]:
        expected = theirs["per_category"][str(category["id"])]
        assert same(ours["categories"][category["name"]], expected), category["name"]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("name", OF_LVIS)
def test_numbers_are_those_of_lvis(name, kind):
    truth, found = scene(name, lvis=True)
    ours, theirs = average_precision(truth, found, kind, "lvis"), STORED["lvis"][name][kind]
    for number, expected in theirs.items():
        assert same(ours[number], expected), number


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_category_that_nobody_looked_for_in_an_image_without_objects_counts_nowhere(kind):
    """faster-coco-eval does not know the size of such an image, and stops."""
    truth, found = scene("empty_images", lvis=True)
    with_objects = {each["image_id"] for each in truth["annotations"]}
    for image in truth["images"]:
        if image["id"] not in with_objects:
            image["neg_category_ids"] = []
    assert {each["image_id"] for each in found} - with_objects
    counted = [each for each in found if each["image_id"] in with_objects]
    row = average_precision(truth, found, kind, "lvis")
    assert row["AP"] > 0
    assert row == average_precision(truth, counted, kind, "lvis")
