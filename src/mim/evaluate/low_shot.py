"""How far a few labelled images a class go."""

import statistics
from collections.abc import Iterator, Sequence

import torch
from scipy.stats import t as student
from torch import Tensor

from mim.draw import keys
from mim.evaluate.classify import Classify, Pools, top1
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.features import Features, Judge
from mim.ranges import Count, Counts, in_range


class LowShot(Classify):
    """Learn from few images of each class, drawn anew for each seed, and classify all held-out
    images.

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

    @in_range
    def __init__(
        self,
        judge: Judge,
        pools: Pools,
        shots: Counts = (1, 2, 5, 10),
        seeds: Sequence[int] = (0, 1, 2, 3, 4),
        block: int | None = None,
        norm: bool = True,
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        super().__init__(judge, pools, "low_shot", block, norm, bank_limit, held_out_limit)
        self.shots, self.seeds = [shots] if isinstance(shots, int) else list(shots), list(seeds)
        if len(set(self.seeds)) < 2:
            raise ValueError(
                f"LowShot got seeds={seeds}; needs two different seeds for an interval, e.g. "
                "evaluate.seeds=[0,1,2]"
            )

    def counts(self, row: Row) -> bool:
        """What was learned from the most images."""
        return row["shots"] == max(self.shots)

    def rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        """One for each pool, number of images and setting of the classifier, over all seeds."""
        classes = needs_classes(checkpoint, f"evaluate={self.name}")
        for about, bank, held_out in self.features(checkpoint):
            for shots in self.shots:
                judged = []
                for seed in self.seeds:
                    few = draw(bank.label, classes, shots, seed)
                    learned_from = Features(bank.feature[few], bank.label[few])
                    judged.append(
                        top1(self.judge(learned_from, held_out.feature, classes), held_out.label)
                    )
                for setting in judged[0]:
                    named = {"setting": f"{shots} a class, {setting}", "shots": shots}
                    yield about | named | spread([by_setting[setting] for by_setting in judged])


def draw(label: Tensor, classes: int, shots: int, seed: int) -> Tensor:
    """Places of `shots` images of each class, by class: labels (N,) -> (classes * shots,).

    Raises:
        ValueError: where a class has fewer.
    """
    fewest = int(torch.bincount(label, minlength=classes).min())
    if fewest < shots:
        raise ValueError(
            f"shots={shots}, but a class has only {fewest} images to draw from; lower it, or raise "
            "bank_limit"
        )
    # Fewer shots with the same seed are some of the same images: the order of a class is drawn
    # once.
    order = keys(seed, 0, torch.arange(len(label))).to(label.device).argsort()
    return torch.cat([order[label[order] == number][:shots] for number in range(classes)])


def spread(values: Sequence[float]) -> Row:
    """Mean over seeds with its 95 % interval by Student's t, which tells how far other draws would
    move it.
    """
    mean = statistics.mean(values)
    half = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return {
        "top1": mean,
        "top1_interval": [mean - float(half), mean + float(half)],
        "seeds": len(values),
    }
