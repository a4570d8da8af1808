"""Average precision of a fine-tuned detector, as it is."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import make_grid, save_image

from mim.analysis.drawn_detections import draw_detections
from mim.evaluate.evaluated_checkpoint import (
    EvaluatedCheckpoint,
    HeldOutScenes,
    dense_batches,
    fine_tuned,
    scenes_of,
)
from mim.evaluate.evaluation import Row
from mim.head.average_precision import Detected, Judged
from mim.head.detections import Detections
from mim.head.detector import Detector, in_picture
from mim.ranges import Count, NonNegativeInt, Share

LEAST_SHOWN = 0.5
"""Score of what is drawn."""


class Detection:
    """Judge checkpoints of `task=detect` by average precision of boxes and masks; draw what is
    found in the first images.

    Args:
        score_threshold: least score that counts; null for that of the training.
        detections: that count of an image; null for those of the training.
        pictures: images that are drawn.
        held_out_limit: detect in at most so many held-out images; null for all.
    """

    learns = False
    labels = "objects"
    squares = False

    def __init__(
        self,
        score_threshold: Share | None = None,
        detections: Count | None = None,
        pictures: NonNegativeInt = 8,
        held_out_limit: Count | None = None,
    ):
        self.score_threshold, self.detections = score_threshold, detections
        self.pictures, self.held_out_limit = pictures, held_out_limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`detect/box_ap` and `detect/mask_ap` of the best by masks, and a table of all."""
        table = [self._row(number, checkpoint) for number, checkpoint in enumerate(checkpoints)]
        top = max(table, key=lambda row: row["mask_AP"] or 0.0)
        return {"detect/box_ap": top["box_AP"], "detect/mask_ap": top["mask_AP"], "table": table}

    @torch.no_grad()
    def _row(self, number: int, checkpoint: EvaluatedCheckpoint) -> Row:
        model = fine_tuned(checkpoint, "detect", Detector)
        names = checkpoint.data.classes
        if model.regions.num_classes != len(names):
            raise ValueError(
                f"{checkpoint.name} knows {model.regions.num_classes} categories, and "
                f"{type(checkpoint.data).__name__} has "
                f"{len(names)}; choose the data that it was trained on"
            )
        if self.score_threshold is not None:
            model.regions.score_threshold = self.score_threshold
        if self.detections is not None:
            model.regions.detections = self.detections
        scenes = scenes_of(checkpoint)
        assert isinstance(scenes, Judged)
        detected = Detected(scenes)
        drawn: list[Tensor] = []
        for batch in dense_batches(checkpoint, self.held_out_limit):
            with checkpoint.autocast():
                found = model.detect(batch.image, batch.size)
            detected.add(found, batch)
            for one, size, picture in zip(
                found, batch.size.tolist(), batch.index.tolist(), strict=True
            ):
                if len(drawn) < self.pictures:
                    drawn.append(picture_of(scenes, picture, one, size, names))
        if drawn:
            _save(drawn, checkpoint.folder / f"detections_{number}.png")
        row: Row = {"checkpoint": checkpoint.name}
        for short, values in zip(("box", "mask"), detected.row().values(), strict=True):
            row |= {
                f"{short}_{name}": value for name, value in values.items() if name != "categories"
            }
            row[f"{short}_categories"] = values["categories"]
        return row


def picture_of(
    scenes: HeldOutScenes, number: int, found: Detections, size: Sequence[int], names: Sequence[str]
) -> Tensor:
    """A picture (3, H, W) uint8 with what is found in it, where the score is at least a half; small
    ones are enlarged.
    """
    whole, image = in_picture(found, size, scenes.size(number)), scenes.image(number)
    shown = (whole.score >= LEAST_SHOWN).cpu()
    box, score, category, mask = (each.cpu()[shown] for each in whole)
    return draw_detections(image, box, score, category, mask, names)


def _save(pictures: Sequence[Tensor], file: Path) -> None:
    """One grid of pictures, padded to one size."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))
    padded = [
        torch.nn.functional.pad(
            picture, (0, width - picture.shape[2], 0, height - picture.shape[1])
        )
        for picture in pictures
    ]
    save_image(make_grid(torch.stack(padded).float() / 255, nrow=4), file)
