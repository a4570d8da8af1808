"""Segmentation by a fine-tuned checkpoint, on whole pictures at their own size."""

from collections.abc import Sequence

import torch

from mim.evaluate.evaluated_checkpoint import (
    EvaluatedCheckpoint,
    dense_batches,
    fine_tuned,
    scenes_of,
)
from mim.evaluate.evaluation import Row
from mim.evaluate.overlap import Overlap
from mim.head.segmenter import Segmenter
from mim.ranges import Count, SomeShare, in_range


class Segmentation:
    """Judge checkpoints of `task=segment` by the mean overlap of their classes.

    Scores of an image are resized to the picture that it was made of before a class is chosen, as
    mmsegmentation does; images larger than the encoder's are cut into windows.

    Args:
        stride: from one window to the next, in windows: 341 of 512 pixels are the published two
            thirds.
        held_out_limit: segment at most so many held-out images; null for all.
    """

    learns = False

    labels = "label_maps"
    squares = False

    @in_range
    def __init__(self, stride: SomeShare = 2 / 3, held_out_limit: Count | None = None):
        self.stride, self.held_out_limit = stride, held_out_limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`segmentation/miou` of the best, and a table of all."""
        table = [self._row(checkpoint) for checkpoint in checkpoints]
        return {"segmentation/miou": max(row["miou"] for row in table), "table": table}

    @torch.no_grad()
    def _row(self, checkpoint: EvaluatedCheckpoint) -> Row:
        model = fine_tuned(checkpoint, "segment", Segmenter)
        classes, scenes = checkpoint.data.classes, scenes_of(checkpoint)
        if model.num_classes != len(classes):
            raise ValueError(
                f"{checkpoint.name} tells {model.num_classes} classes of pixels apart, and "
                f"{type(checkpoint.data).__name__} has "
                f"{len(classes)}; choose the data that it was trained on"
            )
        overlap = Overlap(classes)
        for batch in dense_batches(checkpoint, self.held_out_limit):
            for image, (height, width), number in zip(
                batch.image, batch.size.tolist(), batch.index.tolist(), strict=True
            ):
                with checkpoint.autocast():
                    scores = model.segment(
                        image[None, :, :height, :width], scenes.size(number), self.stride
                    )
                overlap.update(scores[0].argmax(dim=0), scenes.label_map(number))
        return {"checkpoint": checkpoint.name} | overlap.row()
