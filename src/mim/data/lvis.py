"""LVIS: 1,203 categories of objects on COCO's pictures, of which most have few (arXiv
1908.03195).
"""

from mim.data.coco import Coco
from mim.data.coco_scenes import CocoScenes
from mim.dense import Entry
from mim.plain import printable

FREQUENCIES = ("r", "c", "f")


class LvisScenes(CocoScenes):
    """Pictures and objects of one of LVIS's files, which name COCO's pictures by where they were
    downloaded.
    """

    style = "lvis"

    def prepare_judging(self) -> None:
        """The same, once each category is known to have a frequency."""
        super().prepare_judging()
        for each in self.truth["categories"]:
            if each.get("frequency") not in FREQUENCIES:
                raise ValueError(
                    f"{self.origin}: category {each['id']} has "
                    f"frequency={printable(each.get('frequency'), 60)}; LVIS says r, c or f of "
                    "each, rare, common or frequent: write it, or take data=coco"
                )

    def file_name(self, picture: Entry) -> str:
        """The last two parts of its address: `train2017/000000391895.jpg`."""
        address = picture.get("coco_url") or picture.get("file_name", "")
        return super().file_name({**picture, "file_name": "/".join(str(address).split("/")[-2:])})


class Lvis(Coco):
    """As `Coco`, with pictures found by their address, and judged as LVIS does."""

    scenes_of = LvisScenes
