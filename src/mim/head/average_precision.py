"""Average precision of boxes and masks, of COCO (pycocotools) and of LVIS, by faster-coco-eval."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from mim.all_processes import of_all_processes
from mim.dense import DenseBatch, Entry, coco_library
from mim.head.detections import Detections
from mim.head.detector import Found, in_picture

Style = Literal["coco", "lvis"]
Kind = Literal["bbox", "segm"]
Precisions = dict[str, Any]
"""Average precisions by name, null where there is nothing to measure; and `categories`, those of
each by its name.
"""

DETECTIONS = {"coco": 100, "lvis": 300}
"""That count: COCO's of an image and category, LVIS's of an image."""
SIZES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def encoded(mask: Tensor) -> list[Entry]:
    """Masks (G, H, W) bool -> run-length encodings, as text that json holds."""
    columns = np.asfortranarray(mask.cpu().numpy().astype(np.uint8).transpose(1, 2, 0))
    runs = coco_library("core.mask").encode(columns)
    return [{"size": list(run["size"]), "counts": _text(run["counts"])} for run in runs]


def _text(counts: bytes | str) -> str:
    return counts.decode() if isinstance(counts, bytes) else counts


def results_of(found: Found, image_id: int, category_ids: Sequence[int]) -> list[Entry]:
    """Detections of one image: image_id, category_id, score, bbox as (x, y, width, height),
    segmentation as RLE.
    """
    box = found.box.double().cpu()
    sides = torch.cat([box[:, :2], box[:, 2:] - box[:, :2]], dim=1).tolist()
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[category],
            "score": score,
            "bbox": side,
            "segmentation": run,
        }
        for category, score, side, run in zip(
            found.category.tolist(),
            found.score.double().tolist(),
            sides,
            encoded(found.mask),
            strict=True,
        )
    ]


def average_precision(
    truth: Entry, results: Sequence[Entry], kind: Kind, style: Style = "coco"
) -> Precisions:
    """Average precision over overlaps of 0.5 to 0.95, for boxes or masks; null where there is
    nothing to measure.

    Areas of masks are those of the masks, also where a box is given (detectron2's evaluators take
    boxes off first).

    Args:
        truth: annotations in COCO's or LVIS's format, with the area of each.
        results: detections in COCO's format.
        kind: boxes or masks.
        style: COCO's counts 100 detections of an image and category and knows crowds; LVIS's 300 of
            an image, and leaves out those of a category that nobody looked for in it.

    Returns:
        AP, AP50, AP75, APs, APm, APl; of LVIS APr, APc, APf too; and `categories`, by name.

    Raises:
        ValueError: where a detection is of an image or a category that the annotations do not have.
    """
    _refuse_strangers(truth, results)
    kept = (
        _looked_for(truth, _of_images(results, DETECTIONS["lvis"])) if style == "lvis" else results
    )
    needless = "bbox" if kind == "segm" else "segmentation"
    plain = [{name: value for name, value in result.items() if name != needless} for result in kept]
    library = coco_library()
    # An annotation whose id is 0 would count as one that nothing was found for.
    annotations = [each | {"id": place} for place, each in enumerate(truth["annotations"], start=1)]
    known = library.COCO(
        {name: [dict(each) for each in truth[name]] for name in ("images", "categories")}
        | {"annotations": annotations}
    )
    none = library.COCO(
        {name: truth[name] for name in ("images", "categories")} | {"annotations": []}
    )
    detections = known.loadRes(plain) if plain else none
    lvis, quiet = style == "lvis", lambda *_: None
    judge = library.COCOeval_faster(known, detections, kind, lvis_style=lvis, print_function=quiet)
    if style == "lvis":
        judge.params.maxDets = [DETECTIONS["lvis"]]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    table = judge.eval["precision"][:, :, :, 0, -1]  # overlaps x recalls x categories, of all sizes
    name_of = _names(truth["categories"])
    found: Precisions = dict(zip(SIZES, map(_known, judge.stats), strict=False))
    if style == "lvis":
        found |= {name: _known(judge.stats_as_dict[name]) for name in ("APr", "APc", "APf")}
    by_category = {
        name_of[number]: _mean(table[:, :, place])
        for place, number in enumerate(judge.params.catIds)
    }
    return found | {"categories": by_category}


def _names(categories: Sequence[Entry]) -> dict[int, str]:
    """Names of categories by their numbers, each another one: with its number where several have
    it.
    """
    counts = Counter(each["name"] for each in categories)
    return {
        each["id"]: each["name"] if counts[each["name"]] == 1 else f"{each['name']} ({each['id']})"
        for each in categories
    }


def _known(value: float) -> float | None:
    """pycocotools says -1 where there is nothing to measure."""
    return float(value) if value > -1 else None


def _mean(precision: np.ndarray) -> float | None:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else None


def _of_images(results: Iterable[Entry], most: int) -> Iterable[Entry]:
    """The best of each image, over all categories."""
    by_image: dict[int, list[Entry]] = {}
    for result in results:
        by_image.setdefault(result["image_id"], []).append(result)
    for those in by_image.values():
        yield from sorted(those, key=lambda result: -result["score"])[:most]


def _looked_for(truth: Entry, results: Iterable[Entry]) -> list[Entry]:
    """Detections of categories that somebody looked for in their image: LVIS counts no others."""
    asked = {(each["image_id"], each["category_id"]) for each in truth["annotations"]}
    asked |= {
        (each["id"], number)
        for each in truth["images"]
        for number in each.get("neg_category_ids", ())
    }
    return [each for each in results if (each["image_id"], each["category_id"]) in asked]


def _refuse_strangers(truth: Entry, results: Sequence[Entry]) -> None:
    for name, field in (("images", "image_id"), ("categories", "category_id")):
        known = {each["id"] for each in truth[name]}
        strange = next((result[field] for result in results if result[field] not in known), None)
        if strange is not None:
            raise ValueError(
                f"a detection has {field}={strange}, and the annotations have no such id among "
                f"their {name}"
            )


@runtime_checkable
class Judged(Protocol):
    """Held-out scenes with objects."""

    style: Style
    truth: Entry
    """Annotations in COCO's or LVIS's format."""
    category_ids: Sequence[int]

    def size(self, number: int) -> tuple[int, int]: ...
    def image_id(self, number: int) -> int: ...


class Detected:
    """What is found in held-out images, one batch after another.

    Args:
        scenes: the images.
    """

    def __init__(self, scenes: Judged):
        self.scenes = scenes
        self.results: list[Entry] = []
        self.seen: list[int] = []

    def add(self, found: Sequence[Detections], batch: DenseBatch) -> None:
        """Detections in the images of a batch, carried to their pictures."""
        for one, size, number in zip(found, batch.size.tolist(), batch.index.tolist(), strict=True):
            whole = in_picture(one, size, self.scenes.size(number))
            image_id = self.scenes.image_id(number)
            self.results += results_of(whole, image_id, self.scenes.category_ids)
            self.seen.append(image_id)

    def row(self) -> dict[str, Precisions]:
        """Average precision of `bbox` and `segm`, on the images that all processes have seen."""
        seen, truth = set(of_all_processes(self.seen)), self.scenes.truth
        there = truth | {
            "images": [each for each in truth["images"] if each["id"] in seen],
            "annotations": [each for each in truth["annotations"] if each["image_id"] in seen],
        }
        results = of_all_processes(self.results)
        kinds: tuple[Kind, ...] = ("bbox", "segm")
        return {kind: average_precision(there, results, kind, self.scenes.style) for kind in kinds}
