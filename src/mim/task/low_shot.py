"""How far a few labelled images a class go."""

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from mim.draw import keys
from mim.judge.features import Features, Judge
from mim.task.classify import Pools, bank_and_held_out, ready, top1
from mim.task.look import Look
from mim.task.subject import Subject, needs_classes


class LowShot:
    """Learn from few images of each class, drawn anew for each seed, and classify all held-out images.

    Args:
        judge: the classifier.
        pools: what stands for an image, by name.
        shots: images of each class, one number or several.
        seeds: of the draws, two at least; every pool and checkpoint gets the same images.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        bank_limit: draw from at most so many training images; null for all.
        held_out_limit: classify at most so many held-out images; null for all.
    """

    def __init__(
        self,
        judge: Judge,
        pools: Pools,
        shots: int | Sequence[int] = (1, 2, 5, 10),
        seeds: Sequence[int] = (0, 1, 2, 3, 4),
        block: int | None = None,
        norm: bool = True,
        bank_limit: int | None = None,
        held_out_limit: int | None = None,
    ):
        self.judge, self.pools, self.block, self.norm = judge, pools, block, norm
        self.shots, self.seeds = [shots] if isinstance(shots, int) else list(shots), list(seeds)
        if min(self.shots, default=0) < 1 or len(set(self.seeds)) < 2:
            raise ValueError(
                f"LowShot got shots={shots}, seeds={seeds}; needs an image a class at least, and two different seeds for an "
                "interval, e.g. task.shots=[1,2,5,10] task.seeds=[0,1,2]"
            )
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def __call__(self, subjects: Sequence[Subject]) -> dict[str, Any]:
        """`low_shot/top1`, the best with the most images, and a table of all."""
        table = [row for subject in subjects for row in self._rows(subject)]
        return {"low_shot/top1": max(row["top1"] for row in table if row["shots"] == max(self.shots)), "table": table}

    def _rows(self, subject: Subject) -> Iterator[dict[str, Any]]:
        classes = needs_classes(subject, "task=low_shot")
        look = Look(subject.encoder, ready(self.pools, subject.encoder), self.block, self.norm)
        for pool, (bank, held_out) in bank_and_held_out(subject, look, self.bank_limit, self.held_out_limit).items():
            for shots in self.shots:
                chosen = [draw(bank.label, classes, shots, seed) for seed in self.seeds]
                judged = [
                    top1(
                        self.judge(Features(bank.feature[rows], bank.label[rows]), held_out.feature, classes),
                        held_out.label,
                    )
                    for rows in chosen
                ]
                for setting in judged[0]:
                    about = {"checkpoint": subject.name, "pool": pool, "block": look.block_number}
                    yield (
                        about
                        | {"setting": f"{shots} a class, {setting}", "shots": shots}
                        | spread([j[setting] for j in judged])
                    )


def draw(label: Tensor, classes: int, shots: int, seed: int) -> Tensor:
    """Places of `shots` images of each class, by class: labels (N,) -> (classes * shots,).

    Raises:
        ValueError: where a class has fewer.
    """
    fewest = int(torch.bincount(label, minlength=classes).min())
    if fewest < shots:
        raise ValueError(
            f"shots={shots}, but a class has only {fewest} images to draw from; lower it, or raise bank_limit"
        )
    # Fewer shots with the same seed are some of the same images: the order of a class is drawn once.
    order = keys(seed, 0, torch.arange(len(label))).to(label.device).argsort()
    return torch.cat([order[label[order] == number][:shots] for number in range(classes)])


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean over seeds with its 95 % interval by Student's t, which tells how far other draws would move it."""
    mean = statistics.mean(values)
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {"top1": mean, "top1_interval": [mean - float(half), mean + float(half)], "seeds": len(values)}
