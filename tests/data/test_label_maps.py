"""Folders of pictures and label maps."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.label_map_scenes import LabelMapScenes
from mim.data.label_maps import LabelMaps
from mim.data.sampler import Rows
from mim.data.scenes import SceneBatches
from mim.dense import IGNORE
from mim.draw import keys

VALUES = np.array([[0, 1, 2, 255], [1, 1, 2, 2]], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "maps"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((2, 4, 3), 9, dtype=np.uint8)).save(tmp_path / "images" / "a.jpg")
    Image.fromarray(VALUES).save(tmp_path / "maps" / "a.png")
    return tmp_path


def scenes(folder, **settings) -> LabelMapScenes:
    return LabelMapScenes(folder / "images", folder / "maps", **({"classes": 3} | settings))


def data(folder, **settings) -> LabelMaps:
    where = {
        f"{part}_{what}": name
        for part in ("train", "val")
        for what, name in (("images", "images"), ("label_maps", "maps"))
    }
    given = {
        "classes": 3,
        "augment": NoAugment(),
        "jitter": Jitter((1.0, 2.0), fit="shorter"),
        "image_size": 8,
        "batch_size": 1,
    }
    made = LabelMaps(str(folder), **(where | given | settings))
    made.learn_from("label_maps")
    return made


def test_values_are_classes_and_one_value_is_ignored(folder):
    assert scenes(folder).label_map(0).tolist() == VALUES.tolist()
    assert scenes(folder, ignore=2).size(0) == (2, 4)
    Image.fromarray(VALUES % 255).save(folder / "maps" / "a.png")
    assert (scenes(folder, classes=2, ignore=2, first_class=0).label_map(0) == IGNORE).sum() == 3


def test_the_first_class_may_be_another_value(folder):
    """ADE20K's 0 is anything else."""
    assert scenes(folder, classes=2, first_class=1).label_map(0).tolist() == [
        [IGNORE, 0, 1, IGNORE],
        [0, 0, 1, 1],
    ]


def test_a_palette_is_read_by_its_indices(folder):
    picture = Image.fromarray(VALUES, mode="P")
    picture.putpalette([7, 7, 7] * 256)
    picture.save(folder / "maps" / "a.png")
    assert scenes(folder).label_map(0).tolist() == VALUES.tolist()


def test_colours_are_classes_where_they_are_said(folder):
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], dtype=np.uint8)
    Image.fromarray(
        np.concatenate([colours, [[1, 2, 3]]])[VALUES.clip(max=3)].astype(np.uint8)
    ).save(folder / "maps" / "a.png")
    assert scenes(folder, colours=colours.tolist()).label_map(0).tolist() == VALUES.tolist()
    with pytest.raises(ValueError, match="is coloured; say the colours"):
        scenes(folder).label_map(0)


def test_batches_have_label_maps_and_classes_have_names(folder):
    made = data(folder, classes=["ground", "road", "car"], num_workers=0)
    assert made.classes == ["ground", "road", "car"]
    batch = next(iter(made.train_dataloader()))
    assert batch.label_map.shape == (1, 8, 8)
    assert set(batch.label_map.unique().tolist()) <= {0, 1, 2, IGNORE}


@pytest.mark.parametrize("which", ["training", "held-out"])
def test_label_maps_that_teach_nothing_are_refused_before_a_step(folder, which):
    (folder / "nothing").mkdir()
    Image.new("L", (4, 2), IGNORE).save(folder / "nothing" / "a.png")
    part = {"training": "train", "held-out": "val"}[which]
    made = data(folder, num_workers=0, **{f"{part}_label_maps": "nothing"})
    with pytest.raises(ValueError, match=f"every pixel of the {which} .* see data.ignore"):
        made.setup()
    made.only_judged = True  # training pictures are not learned from then
    if which == "training":
        made.setup()


def test_a_list_names_the_pictures_in_its_order(folder):
    """As VOC has it: many pictures, of which few have label maps."""
    for name in ("b", "c"):
        Image.fromarray(np.full((2, 4, 3), 9, dtype=np.uint8)).save(
            folder / "images" / f"{name}.jpg"
        )
    Image.fromarray(VALUES).save(folder / "maps" / "b.png")
    (folder / "train.txt").write_text("b\na\n")
    (folder / "val.txt").write_text("a\n")
    made = data(folder, train_list="train.txt", val_list="val.txt", num_workers=0)
    assert [made.train_size, len(made.splits.val)] == [2, 1]
    assert [path.name for path in made.training_scenes.maps] == ["b.png", "a.png"]
    (folder / "val.txt").write_text("a\nz\n")
    with pytest.raises(
        FileNotFoundError, match=r"val\.txt names 2 pictures, of which 1 are not there, e\.g\. z"
    ):
        scenes(folder, listed=folder / "val.txt")
    (folder / "val.txt").write_text("c\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 pictures .* have no label map"):
        scenes(folder, listed=folder / "val.txt")
    (folder / "val.txt").write_text("")
    with pytest.raises(FileNotFoundError, match="names 0 pictures"):
        scenes(folder, listed=folder / "val.txt")
    with pytest.raises(FileNotFoundError, match="there is no list"):
        scenes(folder, listed=folder / "none.txt")


def test_of_padding_nothing_is_known(folder):
    Image.fromarray(np.zeros((3, 2, 3), dtype=np.uint8)).save(folder / "images" / "b.png")
    Image.fromarray(np.ones((3, 2), dtype=np.uint8)).save(folder / "maps" / "b.png")
    rows = Rows(torch.tensor([0, 1]), keys(0, 0, torch.arange(2)))
    batch = SceneBatches(scenes(folder), "label_maps")[rows]
    batch = data(folder, mean=[0.5] * 3, std=[0.25] * 3).on_after_batch_transfer(batch)
    assert batch.label_map[1].tolist() == [[1, 1, IGNORE, IGNORE]] * 3
    assert (batch.label_map[0, 2] == IGNORE).all()
    assert batch.size.tolist() == [[2, 4], [3, 2]]
    assert batch.image[1, :, 2, 1].tolist() == [-2, -2, -2]
    assert not batch.image[1, :, :, 2:].any()  # 0 once normalised, too
    assert not batch.image[0, :, 2].any()


def test_a_value_is_ignored_or_a_class_or_refused(folder):
    """255 too, where another value is ignored."""
    with pytest.raises(ValueError, match=r"a\.png has class 255, and classes are 0 to 2, or 300"):
        scenes(folder, ignore=300).label_map(0)
    with pytest.raises(ValueError, match=r"a\.png has class 2, and classes are 1 to 1, or 255"):
        scenes(folder, classes=1, first_class=1).label_map(0)


def test_a_picture_has_one_label_map_and_a_class_one_name(folder):
    Image.fromarray(VALUES).save(folder / "maps" / "a.tif")
    with pytest.raises(
        ValueError, match=r"has a\.png and a\.tif, two label maps of one picture; leave one"
    ):
        scenes(folder)
    with pytest.raises(ValueError, match=r"data.classes=.* has a name twice"):
        data(folder, classes=["road", "car", "road"])


def test_what_cannot_be_is_refused_in_one_line(folder):
    with pytest.raises(ValueError, match=r"a\.png has class 2, and classes are 0 to 1"):
        scenes(folder, classes=2).label_map(0)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        LabelMapScenes(folder / "none", folder / "maps", 3)
    with pytest.raises(ValueError, match="at most 255 classes"):
        data(folder, classes=256)
    with pytest.raises(ValueError, match="3 classes and 1 colours"):
        data(folder, colours=[[0, 0, 0]])
    with pytest.raises(ValueError, match="has label maps and no objects"):
        data(folder).scenes("objects")
    Image.fromarray(np.zeros((3, 3, 3), dtype=np.uint8)).save(folder / "images" / "b.png")
    with pytest.raises(
        FileNotFoundError, match=r"1 of 2 pictures .* have no label map of their name .*b\.png"
    ):
        scenes(folder)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "maps" / "b.png")
    with pytest.raises(ValueError, match="has 3 x 3 pixels and its label map 4 x 4"):
        scenes(folder).image(1)
    assert torch.equal(scenes(folder).label_map(1), torch.zeros(4, 4, dtype=torch.uint8))


KINDS = {
    "npy": lambda file: np.save(file, VALUES),
    "words of 64 bits.tif": lambda file: tifffile.imwrite(file, VALUES.astype(np.int64)),
    "doubles.tif": lambda file: tifffile.imwrite(file, VALUES.astype(np.float64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_pillow_does_not_read_is_read_by_what_reads_pictures(folder, kind):
    (folder / "maps" / "a.png").unlink()
    KINDS[kind](folder / "maps" / f"a.{kind.rpartition('.')[2]}")
    found = scenes(folder)
    assert found.label_map(0).tolist() == VALUES.tolist()
    assert found.size(0) == (2, 4)
    assert found.image(0).shape == (3, 2, 4)


@pytest.mark.parametrize(("kept", "said"), [(0, "it is empty"), (9, "it is no picture"), (99, "")])
def test_a_label_map_that_cannot_be_read_is_named(folder, kept, said):
    file = folder / "maps" / "a.png"
    Image.fromarray(np.arange(4096).reshape(64, 64).astype(np.uint8) * 3).save(file)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=rf"maps/a\.png cannot be read: {said}") as refusal:
        scenes(folder).label_map(0)
    assert "\n" not in str(refusal.value)


def test_16_bits_whole_floats_and_opacity_are_read(folder):
    file = folder / "maps" / "a.png"
    Image.fromarray(np.where(VALUES == 255, np.uint16(65535), VALUES)).save(file)
    assert scenes(folder, ignore=65535).label_map(0).tolist() == VALUES.tolist()
    Image.fromarray(VALUES).convert("LA").save(file)
    assert scenes(folder).label_map(0).tolist() == VALUES.tolist()
    file.unlink()
    Image.fromarray(VALUES.astype(np.float32)).save(file.with_suffix(".tiff"))
    assert scenes(folder).label_map(0).tolist() == VALUES.tolist()


@pytest.mark.parametrize(
    ("values", "ending", "words"),
    [
        (VALUES.astype(np.uint16) * 200, "png", "has class 200, and classes are 0 to 2"),
        (VALUES + np.float32(0.5), "tiff", "values that are no whole numbers"),
        (np.full((2, 4), np.nan, dtype=np.float32), "tiff", "values that are no whole numbers"),
        (VALUES, "jpg", "is a JPEG, whose compression changes classes; give label maps as PNG"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_values_that_are_no_classes_are_refused(folder, values, ending, words):
    (folder / "maps" / "a.png").unlink()
    Image.fromarray(values).save(folder / "maps" / f"a.{ending}")
    with pytest.raises(ValueError, match=words):
        scenes(folder).label_map(0)


@pytest.mark.parametrize(
    ("colours", "words"),
    [
        ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], r"data.colours has \[0, 0, 0\] twice"),
        ([[0, 0, 0], [1, 1, 1], [0, 0, 256]], r"has \[0, 0, 256\], and a colour is .* 0 to 255"),
    ],
)
def test_colours_are_other_ones_for_each_class(folder, colours, words):
    with pytest.raises(ValueError, match=words):
        data(folder, colours=colours)
