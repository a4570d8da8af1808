"""Average precision against pycocotools 2.0.11 and lvis 0.5.3, to 1e-9."""

import json

import pytest
import torch

from mim.head.average_precision import average_precision, encoded, results_of
from mim.head.detector import Found
from tests.stored import FOLDER, OWN


def stored(name: str):
    there = FOLDER / name
    return json.loads((there if there.exists() else OWN / name).read_text())


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_numbers_of_coco_are_pycocotools(kind):
    reference = stored("coco_ap.json")
    found = average_precision(reference["ground_truth"], reference["predictions"], kind)
    expected = reference["expected"][kind]
    for name, value in found.items():
        if name != "categories":
            assert value == pytest.approx(expected[name], abs=1e-9), name
    names = {
        category["name"]: str(category["id"])
        for category in reference["ground_truth"]["categories"]
    }
    for name, value in found["categories"].items():
        theirs = expected["per_category"][names[name]]
        assert value is theirs is None or value == pytest.approx(theirs, abs=1e-9), name


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_numbers_of_lvis_are_the_official_ones(kind):
    reference = stored("lvis_ap.json")
    found = average_precision(reference["ground_truth"], reference["predictions"], kind, "lvis")
    for name in ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"):
        assert found[name] == pytest.approx(reference["expected"][kind][name], abs=1e-9), name


def test_detections_become_results_and_back():
    mask = torch.zeros(1, 8, 10, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    found = Found(
        torch.tensor([[3.0, 2.0, 9.0, 5.0]]), torch.tensor([0.75]), torch.tensor([1]), mask
    )
    (result,) = results_of(found, 7, [3, 90])
    assert (result["image_id"], result["category_id"], result["score"]) == (7, 90, 0.75)
    assert result["bbox"] == [3, 2, 6, 3]
    truth = {
        "images": [{"id": 7, "height": 8, "width": 10}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 90,
                "iscrowd": 0,
                "area": 18,
                "bbox": [3, 2, 6, 3],
                "segmentation": encoded(mask)[0],
            }
        ],
        "categories": [{"id": 3, "name": "a"}, {"id": 90, "name": "b"}],
    }
    for kind in ("bbox", "segm"):
        row = average_precision(truth, [result], kind)
        assert row["AP"] == 1
        assert row["categories"] == {"a": None, "b": 1}
        assert average_precision(truth, [], kind)["AP"] == 0
    with pytest.raises(ValueError, match="category_id=4, and the annotations have no such id"):
        average_precision(truth, [{**result, "category_id": 4}], "bbox")


@pytest.mark.parametrize("number", [0, -3, 5])
def test_a_found_object_counts_whatever_its_annotation_is_numbered(number):
    """0 would be taken for an object that was not found."""
    annotation = {"image_id": 7, "category_id": 0, "iscrowd": False, "area": 9, "id": number}
    truth = {
        "images": [{"id": 7, "height": 8, "width": 8}],
        "annotations": [annotation | {"bbox": [1, 1, 3, 3]}],
        "categories": [{"id": 0, "name": "only"}],
    }
    found = [{"image_id": 7, "category_id": 0, "score": 0.9, "bbox": [1, 1, 3, 3]}]
    assert average_precision(truth, found, "bbox")["AP"] == 1.0
    assert truth["annotations"][0]["id"] == number


def test_categories_of_one_name_are_told_apart_by_their_numbers():
    annotation = {"id": 1, "image_id": 7, "category_id": 4, "iscrowd": 0, "area": 9}
    truth = {
        "images": [{"id": 7, "height": 8, "width": 8}],
        "annotations": [annotation | {"bbox": [1, 1, 3, 3]}],
        "categories": [
            {"id": n, "name": name} for n, name in ((2, "cup"), (4, "cup"), (5, "bowl"))
        ],
    }
    found = [{"image_id": 7, "category_id": 4, "score": 0.9, "bbox": [1, 1, 3, 3]}]
    row = average_precision(truth, found, "bbox")
    assert row["categories"] == {"cup (2)": None, "cup (4)": 1.0, "bowl": None}
