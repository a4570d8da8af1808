"""How often a fine-tuned classifier is right, as it is: what the official codes do with `--eval`."""

from collections.abc import Sequence
from typing import Any

import torch

from mim.task.metrics import accuracies
from mim.task.subject import Subject, check_labels, needs_classes


class OwnClassifier:
    """Judge checkpoints by the head that they were fine-tuned with, on the held-out images.

    Args:
        held_out_limit: classify at most so many held-out images; null for all.
    """

    def __init__(self, held_out_limit: int | None = None):
        self.held_out_limit = held_out_limit

    def __call__(self, subjects: Sequence[Subject]) -> dict[str, Any]:
        """`classifier/top1` of the best, its interval, and a table of all."""
        table = [self._row(subject) for subject in subjects]
        top = max(table, key=lambda row: row["top1"])
        return {"classifier/top1": top["top1"], "classifier/top1_interval": top["top1_interval"], "table": table}

    @torch.no_grad()
    def _row(self, subject: Subject) -> dict[str, Any]:
        classes = needs_classes(subject, "task=classifier")
        model: Any = subject.classifier()  # type: ignore[misc]
        known = model.head.out_features
        if known != classes:
            raise ValueError(
                f"{subject.name} tells {known} classes apart, and {type(subject.data).__name__} has {classes}; choose the data "
                "that it was fine-tuned on, or fine-tune it on these: python train.py task=finetune checkpoint=..."
            )
        scores, labels = [], []
        for batch in map(subject.prepare, subject.data.val_dataloader(self.held_out_limit)):
            with subject.autocast():
                scores.append(model(batch).float())
            labels.append(batch.label)
        label = torch.cat(labels)
        check_labels(label, classes)
        return {"checkpoint": subject.name} | accuracies(torch.cat(scores), label, subject.data.classes)
