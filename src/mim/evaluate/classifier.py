"""How often a fine-tuned classifier is right, as it is: what the official codes do with
`--eval`.
"""

import re
from collections.abc import Sequence

import torch
from torch import nn

from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, check_labels, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.metrics import accuracies
from mim.plain import printable


class OwnClassifier:
    """Judge checkpoints by the head that they were fine-tuned with, on the held-out images.

    Args:
        held_out_limit: classify at most so many held-out images; null for all.
        classes: names of the classes that the head tells apart, in the order of its scores, where
            the checkpoint does not say them; null for what it says.
    """

    learns = False

    def __init__(self, held_out_limit: int | None = None, classes: Sequence[str] | None = None):
        self.held_out_limit, self.classes = held_out_limit, classes

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`classifier/top1` of the best, its interval, and a table of all."""
        table = [self._row(checkpoint) for checkpoint in checkpoints]
        top = max(table, key=lambda row: row["top1"])
        return {
            "classifier/top1": top["top1"],
            "classifier/top1_interval": top["top1_interval"],
            "table": table,
        }

    @torch.no_grad()
    def _row(self, checkpoint: EvaluatedCheckpoint) -> Row:
        classes = needs_classes(checkpoint, "evaluate=classifier")
        assert checkpoint.classifier is not None
        model = checkpoint.classifier()
        head = model.get_submodule("head")
        assert isinstance(head, nn.Linear)
        names = class_names(checkpoint, head.out_features, self.classes)
        position = torch.tensor([names.index(name) for name in checkpoint.data.classes])
        scores, labels = [], []
        for batch in map(checkpoint.prepare, checkpoint.data.val_dataloader(self.held_out_limit)):
            with checkpoint.autocast():
                scores.append(model(batch).float())
            labels.append(batch.label)
        label = torch.cat(labels)
        check_labels(label, classes)
        return {"checkpoint": checkpoint.name} | accuracies(
            torch.cat(scores), position.to(label.device)[label], names
        )


def class_names(
    checkpoint: EvaluatedCheckpoint, scores: int, given: Sequence[str] | None = None
) -> list[str]:
    """Names of the classes that a head has scores for, in their order; those of the data set are
    among them.

    Args:
        checkpoint: the checkpoint, and the data set that it is judged on.
        scores: of an image.
        given: the names, where the checkpoint does not say them.

    Raises:
        ValueError: where nothing says them, they are not as many as the scores, or the data set has
            others.
    """
    has, name = list(checkpoint.data.classes), type(checkpoint.data).__name__
    apart = f"{checkpoint.name} tells {scores} classes apart"
    how = (
        "choose the data that it was fine-tuned on, or fine-tune it on these: python train.py "
        "task=finetune checkpoint=..."
    )
    names = list(checkpoint.class_names or given or ())
    if (
        not names
        and scores == len(has) == 1000
        and all(re.fullmatch(r"n\d{8}", each) for each in has)
    ):
        names = sorted(has)  # ImageNet's, of whoever has published a head for them
    if not names:
        raise ValueError(
            f"{apart} and does not say which, so they cannot be held against the {len(has)} of "
            f"{name} ({_few(has)}); "
            "say them in the order of its scores, evaluate.classes=[cat,dog]"
        )
    if len(set(names)) != scores:
        raise ValueError(
            f"{apart}, and {len(set(names))} different names are given for them ({_few(names)})"
        )
    others = [each for each in has if each not in set(names)]
    if others:
        raise ValueError(
            f"{apart} ({_few(names)}), and {name} has {len(others)} others: {_few(others)}; {how}"
        )
    return names


def _few(names: Sequence[str]) -> str:
    """The first three names, and whether there are more."""
    return printable(", ".join(names[:3]) + (", ..." if len(names) > 3 else ""))
