"""COCO's and LVIS's formats, on two pictures."""

import json
from copy import deepcopy

import pytest
import torch
from PIL import Image

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.coco import Coco
from mim.data.coco_scenes import CocoScenes
from mim.data.lvis import Lvis
from mim.data.masks import mask_of, run_lengths

SQUARE = [[2.0, 1.0, 8.0, 1.0, 8.0, 6.0, 2.0, 6.0]]
CONTENT = {
    "images": [
        {
            "id": 7,
            "height": 10,
            "width": 12,
            "file_name": "a.png",
            "coco_url": "http://x/train2017/a.png",
        },
        {
            "id": 9,
            "height": 8,
            "width": 8,
            "file_name": "b.png",
            "coco_url": "http://x/train2017/b.png",
        },
        {
            "id": 11,
            "height": 8,
            "width": 8,
            "file_name": "c.png",
            "coco_url": "http://x/train2017/c.png",
        },
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 90,
            "iscrowd": 0,
            "area": 30,
            "bbox": [2, 1, 6, 5],
            "segmentation": SQUARE,
        },
        {
            "id": 2,
            "image_id": 7,
            "category_id": 3,
            "iscrowd": 1,
            "area": 4,
            "bbox": [0, 0, 2, 2],
            "segmentation": {"size": [10, 12], "counts": [0, 2, 8, 2, 108]},
        },
        {
            "id": 3,
            "image_id": 9,
            "category_id": 3,
            "iscrowd": 0,
            "area": 64,
            "bbox": [0, 0, 8, 8],
            "segmentation": [[0, 0, 8, 0, 8, 8, 0, 8]],
        },
    ],
    "categories": [
        {"id": 90, "name": "late", "frequency": "r"},
        {"id": 3, "name": "early", "frequency": "f"},
    ],
}


@pytest.fixture
def folder(tmp_path):
    for where in (tmp_path / "images", tmp_path / "train2017"):
        where.mkdir()
        for name, height, width in (("a", 10, 12), ("b", 8, 8), ("c", 8, 8)):
            Image.new("RGB", (width, height), (100, 100, 100)).save(where / f"{name}.png")
    (tmp_path / "all.json").write_text(json.dumps(CONTENT))
    return tmp_path


def scenes(folder, content=None, **settings) -> CocoScenes:
    if content is not None:
        (folder / "other.json").write_text(json.dumps(content))
    return CocoScenes(
        folder / ("other.json" if content is not None else "all.json"),
        folder / "images",
        **settings,
    )


def coco(folder, kind=Coco, **settings) -> Coco:
    given = {
        "train": "all.json",
        "val": "all.json",
        "train_images": "images",
        "val_images": "images",
    }
    made = kind(
        str(folder),
        **(given | settings),
        augment=NoAugment(),
        jitter=Jitter(),
        image_size=16,
        batch_size=1,
    )
    made.learn_from("objects")
    return made


def test_polygons_run_lengths_and_crowds_are_read(folder):
    read = scenes(folder)
    assert read.names == ["early", "late"]
    objects = read.objects(0, (10, 12))
    assert objects.category.tolist() == [1, 0]
    assert objects.crowd.tolist() == [False, True]
    assert objects.box.tolist() == [[2, 1, 8, 6], [0, 0, 2, 2]]
    assert objects.mask[0].sum() == 30
    assert read.size(0) == (10, 12)
    assert read.image(0).shape == (3, 10, 12)


def test_objects_of_a_resized_picture_are_drawn_at_its_size(folder):
    objects = scenes(folder).objects(0, (20, 24))
    assert objects.box.tolist() == [[4, 2, 16, 12], [0, 0, 4, 4]]


def test_pictures_without_objects_are_judged_and_not_learned_from(folder):
    assert len(scenes(folder)) == 3
    assert len(scenes(folder, learned_from=True)) == 2
    assert len(scenes(folder).objects(2, (8, 8)).box) == 0
    data = coco(folder)
    assert (data.train_size, len(data.splits.val)) == (2, 3)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    assert batch.image.shape == (1, 3, 16, 16)
    assert batch.objects[0].mask.shape[1:] == (16, 16)


def test_rare_categories_are_seen_more_often(folder):
    repeats = scenes(folder, learned_from=True).repeats(0.9)
    assert repeats.tolist() == pytest.approx([(0.9 / 0.5) ** 0.5] * 2)
    assert scenes(folder, learned_from=True).repeats(0.1).tolist() == [1, 1]
    data = coco(folder, Lvis, repeat_threshold=2.0, train_images=".", val_images=".")
    assert data.train_size == 4
    assert data.held_out_scenes.style == "lvis"
    assert data.category_images == [1, 1]


def test_a_crowd_of_a_rare_category_is_not_seen_more_often(folder):
    """Nor does it count as a picture of it."""
    content = deepcopy(CONTENT)
    square = {"bbox": [0, 0, 8, 8], "segmentation": [[0, 0, 8, 0, 8, 8, 0, 8]]}
    content["annotations"].append({"id": 4, "image_id": 11, "category_id": 90} | square)
    read = scenes(folder, content, learned_from=True)
    assert read.repeats(0.5).tolist() == pytest.approx([1, (0.5 * 3) ** 0.5, 1])


def without_area(number):
    content = deepcopy(CONTENT)
    del content["annotations"][number]["area"]
    return content


@pytest.mark.parametrize(("number", "pixels"), [(0, 30), (1, 4), (2, 64)])
def test_an_area_that_is_left_out_is_that_of_the_mask_where_it_is_judged_by(folder, number, pixels):
    read = scenes(folder, without_area(number))
    assert read.truth["annotations"][number]["area"] == pixels
    assert read.truth["annotations"] == CONTENT["annotations"]
    learned = scenes(folder, without_area(number), learned_from=True)
    assert "area" not in learned.truth["annotations"][number]


def test_of_an_object_without_a_mask_it_is_that_of_the_box(folder):
    content = without_area(0)
    content["annotations"][0]["segmentation"] = []
    assert scenes(folder, content).truth["annotations"][0]["area"] == 30


def test_lvis_needs_to_say_how_frequent_a_category_is_where_it_is_judged(folder):
    (folder / "plain.json").write_text(json.dumps(changed("categories", 0, "frequency", "often")))
    where = {"train_images": ".", "val_images": "."}
    assert coco(folder, Lvis, train="plain.json", **where).scenes("objects").classes
    with pytest.raises(ValueError, match=r"category 90 has frequency=often; LVIS says r, c or f"):
        coco(folder, Lvis, val="plain.json", **where).scenes("objects")


def test_names_as_another_system_writes_them_are_found_and_lead_nowhere_else(folder):
    (folder / "images" / "inner").mkdir()
    (folder / "images" / "a.png").rename(folder / "images" / "inner" / "a.png")
    read = scenes(folder, changed("images", 0, "file_name", "inner\\a.png"))
    assert read.image(0).shape == (3, 10, 12)
    with pytest.raises(ValueError, match="outside of the folder of pictures"):
        scenes(folder, changed("images", 0, "file_name", "..\\images\\b.png"))
    with pytest.raises(FileNotFoundError, match=r"e\.g\. inner/b\.png; set data\.root"):
        scenes(folder, changed("images", 0, "file_name", "inner/b.png"))


def test_run_lengths_go_there_and_back():
    mask = torch.rand(9, 7, generator=torch.Generator().manual_seed(0)) > 0.5
    for each in (mask, ~mask, torch.zeros_like(mask), torch.ones_like(mask)):
        assert torch.equal(mask_of(run_lengths(each), (9, 7), (9, 7)), each)


def changed(*path_and_value):
    *path, value = path_and_value
    content = deepcopy(CONTENT)
    node = content
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (changed("images", 1, "height", 0), "image 9 is empty, 0 x 8 pixels"),
        (
            changed("annotations", 0, "bbox", [2, 1, 30, 5]),
            "annotation 1 has the box .* which reaches out of its image of 10 x 12",
        ),
        (
            changed("annotations", 0, "category_id", 4),
            "annotation 1 is of category 4, and there are 3, 90",
        ),
        (
            changed("annotations", 0, "image_id", 5),
            "annotation 1 is of image 5, which the file does not have",
        ),
        (
            changed("annotations", 1, "segmentation", "size", [12, 10]),
            "annotation 2 has a mask of .12, 10. pixels",
        ),
        (changed("images", 0, "file_name", "../a.png"), "outside of the folder of pictures"),
        (changed("images", 0, "file_name", "z.png"), "1 of 3 pictures of .* are not in .*z.png"),
        (changed("annotations", 7), "it has no list of annotations"),
        ([], "is not in COCO's format"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(folder, content, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words) as refused:
        scenes(folder, content)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_picture_of_another_size_are_refused(folder):
    with pytest.raises(FileNotFoundError, match="there are no annotations in"):
        CocoScenes(folder / "none.json", folder / "images")
    with pytest.raises(ValueError, match=r"has 8 x 8 pixels, and .* says 8 x 9; mend"):
        scenes(folder, changed("images", 1, "width", 9)).image(1)
    with pytest.raises(ValueError, match="no class of every pixel"):
        coco(folder).scenes("label_maps")


@pytest.mark.parametrize("counts", ["zzzz!!~~", "", "0" * 40])
def test_a_mask_that_cannot_be_read_is_named_before_anything_is_judged_by_it(folder, counts):
    content = changed("annotations", 1, "segmentation", {"size": [10, 12], "counts": counts})
    words = r"other\.json: annotation 2 has a mask that cannot be read"
    with pytest.raises(ValueError, match=words):
        scenes(folder, content)
    with pytest.raises(ValueError, match=words):
        scenes(folder, content, learned_from=True).objects(0, (10, 12))


def test_a_picture_that_cannot_be_read_is_named(folder):
    read = scenes(folder)
    for content, words in ((b"", "it is empty"), (b"hello", "it is no picture")):
        (folder / "images" / "a.png").write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.png cannot be read: {words}"):
            read.image(0)


def test_a_file_without_objects_or_names_of_pictures_is_refused(folder):
    crowd = CONTENT | {"annotations": CONTENT["annotations"][1:2]}
    for learned, words in ((True, "to learn from"), (False, "to judge by")):
        with pytest.raises(ValueError, match=rf"other\.json has no object {words}; name a file"):
            scenes(folder, crowd, learned_from=learned)
    with pytest.raises(ValueError, match="image 7 has no file_name"):
        scenes(folder, changed("images", 0, "file_name", None))


def test_the_stamp_of_a_picture_changes_with_its_file_and_its_size(folder):
    before = [scenes(folder).stamp(number) for number in range(3)]
    Image.new("RGB", (12, 10)).save(folder / "images" / "a.png")
    other = deepcopy(CONTENT)
    other["images"][1]["height"] = 9
    after = [scenes(folder, other).stamp(number) for number in range(3)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
