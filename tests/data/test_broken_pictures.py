import re
import warnings

import pytest
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.data.files import Files
from mim.data.image_folder import ImageFolder


def folder(root, workers=0, in_memory=False):
    return ImageFolder(
        str(root), CropFlip(TorchvisionBoxes()), 16, 4, num_workers=workers, in_memory=in_memory
    )


def walk(data):
    """Every batch of two epochs, as the device sees it, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loader = data.train_dataloader()
        batches = [data.on_after_batch_transfer(batch) for _ in range(2) for batch in loader]
    return batches, [str(w.message) for w in said if "skipped" in str(w.message)]


def broken_training_picture(data):
    """(place in the training set, path) of a picture that is trained on."""
    return 7, data.splits.train.files.path(int(data.splits.train.numbers[7]))


def test_a_truncated_picture_is_skipped_with_its_name_and_replaced_by_the_next(pictures, truncate):
    root = pictures("all", 40)
    place, path = broken_training_picture(folder(root))
    good, _ = walk(folder(root))
    truncate(root / "all" / path)
    data = folder(root)
    batches, said = walk(data)
    assert len(said) == 1  # in two epochs
    assert path in said[0]
    assert int(data.splits.train.files._unreadable.sum()) == 1
    before, after = (torch.cat([b.index for b in run]) for run in (good, batches))
    assert torch.equal(after, torch.where(before == place, place + 1, before))
    untouched = (before != place).nonzero()[:, 0]
    images, kept = (torch.cat([b.image for b in run])[untouched] for run in (good, batches))
    assert torch.equal(images, kept)


def test_workers_replace_it_alike_and_tell_the_main_process(pictures, truncate):
    root = pictures("all", 40)
    truncate(root / "all" / broken_training_picture(folder(root))[1])
    alone, _ = walk(folder(root))
    data = folder(root, workers=2)
    several, _ = walk(data)
    assert all(torch.equal(a.image, b.image) for a, b in zip(alone, several, strict=True))
    assert int(data.splits.train.files._unreadable.sum()) == 1


def test_what_stops_the_run_is_not_said_of_every_picture(pictures, truncate):
    root = pictures("all", 40)
    for path in (root / "all").iterdir():
        truncate(path)
    files = folder(root).splits.train.files
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [files.read(number) for number in range(40)] == [None] * 40
    assert [str(each.message).partition("(")[2][:8] for each in said] == ["1 so far", "2 so far"]
    assert files._unreadable.all()


def complaint(data) -> str:
    """What stops the run. The error itself is let go: it would hold on to the loader, and that to
    its workers.
    """
    try:
        walk(data)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("broken", [3, 40])
def test_more_than_one_in_a_hundred_stops_the_run_with_one_line(
    pictures, truncate, workers, broken
):
    root = pictures("all", 40)
    for path in sorted((root / "all").iterdir())[:broken]:
        truncate(path)
    line = (
        r"\d+ of 40 pictures cannot be read, and at most 1 % may be skipped: [^\n]*\.jpg, "
        r"[^\n]*\.jpg[^\n]*"
    )
    assert re.fullmatch(line, complaint(folder(root, workers)))


def test_memory_leaves_a_broken_picture_out(pictures, truncate):
    root = pictures("all", 40)
    size = folder(root, in_memory=True).train_size
    path = broken_training_picture(folder(root))[1]
    truncate(root / "all" / path)
    with pytest.warns(UserWarning, match=path):
        assert folder(root, in_memory=True).train_size == size - 1


def test_memory_refuses_more_than_one_in_a_hundred(pictures, truncate):
    root = pictures("all", 40)
    for path in sorted((root / "all").iterdir())[:2]:
        truncate(path)
    with (
        pytest.warns(UserWarning, match="skipped"),
        pytest.raises(ValueError, match="2 of 40 pictures cannot be read"),
    ):
        folder(root, in_memory=True).setup()


def test_an_empty_file_is_skipped_and_said_to_be_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.warns(UserWarning, match=r"skipped .*a\.jpg \(1 so far\): it is empty$"):
        assert Files([str(tmp_path / "a.jpg")], [-1]).read(0) is None
