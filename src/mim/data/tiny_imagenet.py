"""Tiny ImageNet: 100,000 pictures of 64 x 64 pixels of 200 classes, and 10,000 held out (Stanford
CS231n).
"""

import shutil
from pathlib import Path

from torchvision.datasets.utils import download_and_extract_archive

from mim.data.in_memory import in_memory_splits, read_into_memory
from mim.data.levels import Reading
from mim.data.listing import list_pictures
from mim.data.on_disk import OnDisk
from mim.data.splits import Splits

SIDE = 64
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"


def sort_validation(folder: Path) -> Path:
    """Copy `val/images/*`, whose classes are in `val/val_annotations.txt`, to class folders, once
    -> `val_by_class`.
    """
    done = folder / "val_by_class"
    if done.is_dir():
        return done
    partial = folder / "val_by_class.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for line in (folder / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid = line.split("\t")[:2]
        if any(Path(part).name != part or part in ("", "..") for part in (name, wnid)):
            raise ValueError(
                f"{folder / 'val' / 'val_annotations.txt'}: {name!r}, {wnid!r} are no names of a "
                "file and a folder"
            )
        (partial / wnid).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "val" / "images" / name, partial / wnid / name)
    return partial.rename(done)  # in one step, so that what has this name is complete


class TinyImageNet(OnDisk):
    """Two hundred classes; the validation set is held out."""

    own_mean, own_std = (0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)

    def load(self) -> Splits:
        """Download and sort what is missing, and keep all in memory."""
        folder = self.root / "tiny-imagenet-200"
        val = self.fetch(URL, lambda: sort_validation(self._download(folder)))
        listing = list_pictures(
            folder / "train", val, reading=Reading(channels=self.channels, exif=False)
        )
        train, held_out = read_into_memory(listing, SIDE)
        return in_memory_splits(
            train, held_out, self.augment, self.image_size, listing.classes, self.in_centre
        )

    def _download(self, folder: Path) -> Path:
        if not folder.is_dir():
            partial = self.root / "tiny-imagenet-200.partial"
            shutil.rmtree(partial, ignore_errors=True)
            download_and_extract_archive(
                URL, str(self.root), str(partial), md5="90528d7ca1a48142e341f4ef8d21d0de"
            )
            (partial / folder.name).rename(folder)
            partial.rmdir()
        return folder
