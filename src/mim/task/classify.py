"""How well classes are told apart by frozen features: a bank of labelled images, held-out images, a classifier."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from mim.judge.features import Features, Judge
from mim.task.features import extract
from mim.task.subject import Subject, needs_classes


def bank_and_held_out(
    subject: Subject, pool: nn.Module, bank_limit: int | None, held_out_limit: int | None
) -> tuple[Features, Features]:
    """Features of the training images, clean, and of those held out; of each at most so many, evenly spread."""
    encoder, data = subject.encoder, subject.data
    bank = extract(encoder, pool, data.bank_dataloader(bank_limit), subject.prepare, subject.autocast)
    held_out = extract(encoder, pool, data.val_dataloader(held_out_limit), subject.prepare, subject.autocast)
    return bank, held_out


def top1(scores: Mapping[str, Tensor], label: Tensor) -> dict[str, float]:
    """Accuracy of each setting's class scores (M, classes) against labels (M,)."""
    return {
        setting: multiclass_accuracy(score, label, score.shape[1], average="micro").item()
        for setting, score in scores.items()
    }


class Classify:
    """Judge by one classifier on features of every pool; the best setting on the held-out images stands for all.

    Args:
        judge: the classifier.
        pools: what stands for an image, by name.
        name: of the classifier, in the row.
        bank_limit: learn from at most so many training images; null for all.
        held_out_limit: classify at most so many held-out images; null for all.
    """

    def __init__(
        self,
        judge: Judge,
        pools: Mapping[str, nn.Module],
        name: str,
        bank_limit: int | None = None,
        held_out_limit: int | None = None,
    ):
        self.judge, self.pools, self.name = judge, pools, name
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def __call__(self, subjects: Sequence[Subject]) -> dict[str, Any]:
        """`<name>/top1` of the best, and a table of all."""
        table = [row for subject in subjects for row in self._rows(subject)]
        return {f"{self.name}/top1": max(row["top1"] for row in table), "table": table}

    def _rows(self, subject: Subject) -> list[dict[str, Any]]:
        classes = needs_classes(subject, f"task={self.name}")
        rows = []
        for pool_name, pool in self.pools.items():
            bank, held_out = bank_and_held_out(subject, pool, self.bank_limit, self.held_out_limit)
            scores = self.judge(bank, held_out.feature, classes)
            rows += [
                {"checkpoint": subject.name, "pool": pool_name, "setting": setting, "top1": value}
                for setting, value in top1(scores, held_out.label).items()
            ]
        return rows
