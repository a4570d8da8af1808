"""How well pixels are told apart: intersection over union of every class."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from mim.dense import IGNORE
from mim.evaluate.evaluation import Row


class Overlap:
    """Counts of pixels by their class and by what they are taken for; ignored pixels count nowhere.

    Args:
        classes: names of the classes.
    """

    def __init__(self, classes: Sequence[str]):
        self.classes = list(classes)
        self.counts = MulticlassConfusionMatrix(len(self.classes), ignore_index=IGNORE)

    def update(self, prediction: Tensor, label_map: Tensor) -> None:
        """Count predicted classes and true ones, of one shape."""
        self.counts.update(prediction.cpu(), label_map.cpu().long())

    def row(self) -> Row:
        """`miou` over the classes that are there or were predicted, `pixel_accuracy` and
        `class_accuracy`, and `iou` of each.

        Raises:
            ValueError: where every pixel is ignored.
        """
        table = self.counts.compute().double()  # true x predicted
        if not table.any():
            raise ValueError(
                "every pixel of the held-out label maps is ignored, so there is nothing to judge "
                "by; see data.ignore and data.first_class"
            )
        right, there, said = table.diagonal(), table.sum(1), table.sum(0)
        iou, accuracy = right / (there + said - right), right / there
        return {
            "miou": _mean(iou),
            "pixel_accuracy": (right.sum() / there.sum()).item(),
            "class_accuracy": _mean(accuracy),
            "classes": {
                name: {"iou": None if value.isnan() else value.item()}
                for name, value in zip(self.classes, iou, strict=True)
            },
        }


def _mean(values: Tensor) -> float:
    """Mean of what is a number."""
    return torch.nanmean(values).item()
