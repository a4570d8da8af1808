"""How well classes are told apart by frozen features: a bank of labelled images, held-out images, a
classifier.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy

from mim.encoder.encoder import Encoder
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, check_labels, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_cache import cached_features, from_cache_or_made
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import Features, Judge, extract
from mim.evaluate.metrics import accuracies
from mim.pool.pool import Pool, Pools, fitted
from mim.ranges import Count


def ready(pools: Pools, encoder: Encoder) -> dict[str, Pool]:
    """Fit pools that have nothing to learn to an encoder.

    Raises:
        ValueError: where one has weights of its own.
    """
    fit = {name: fitted(pool, encoder) for name, pool in pools.items()}
    learn = [
        name
        for name, pool in fit.items()
        if any(weight.requires_grad for weight in pool.parameters())
    ]
    if learn:
        raise ValueError(
            f"pool={_called(learn[0], fit[learn[0]])} has weights of its own, which only a probe "
            "trains: eval.py evaluate=probe; "
            "here take one without, e.g. pool=mean, cls, cls_mean or max"
        )
    return fit


def _called(name: str, pool: Pool) -> str:
    """The name that a pool was given, and its kind where that is another."""
    kind = type(pool).__name__
    return name if name.replace("_", "") == kind.lower() else f"{name} ({kind})"


def bank_and_held_out(
    checkpoint: EvaluatedCheckpoint,
    extractor: FeatureExtractor,
    bank_limit: Count | None,
    held_out_limit: Count | None,
) -> dict[str, tuple[Features, Features]]:
    """By pool, features of the training images, clean, and of those held out; of each at most so
    many, evenly spread.
    """
    data, device = checkpoint.data, next(extractor.encoder.parameters()).device

    def store(cache: Path) -> list[dict[str, Features]]:
        kept = [cached_features(cache, checkpoint, extractor, "bank", bank_limit)]
        kept += [cached_features(cache, checkpoint, extractor, "held_out", held_out_limit)]
        return [
            {
                name: Features(part[name].to(device), part["label"].to(device))
                for name in extractor.pools
            }
            for part in kept
        ]

    def without() -> list[dict[str, Features]]:
        loaders = data.bank_dataloader(bank_limit), data.val_dataloader(held_out_limit)
        return [extract(checkpoint, extractor, loader) for loader in loaders]

    bank, held_out = from_cache_or_made(checkpoint.cache, store, without)
    return {name: (bank[name], held_out[name]) for name in extractor.pools}


def top1(scores: Mapping[str, Tensor], label: Tensor) -> dict[str, float]:
    """Accuracy of each setting's class scores (M, classes) against labels (M,)."""
    return {
        setting: multiclass_accuracy(score, label, score.shape[1], average="micro").item()
        for setting, score in scores.items()
    }


class Classify:
    """Judge by one classifier on features of every pool; the best setting on the held-out images
    stands for all.

    Args:
        judge: the classifier.
        pools: what stands for an image, by name.
        name: of the classifier, in the row.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        bank_limit: learn from at most so many training images; null for all.
        held_out_limit: classify at most so many held-out images; null for all.
    """

    learns = True

    def __init__(
        self,
        judge: Judge,
        pools: Pools,
        name: str,
        block: int | None = None,
        norm: bool = True,
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        self.judge, self.pools, self.name = judge, pools, name
        self.block, self.norm = block, norm
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`<name>/top1` of the best, its interval, and a table of all."""
        table = [row for checkpoint in checkpoints for row in self.rows(checkpoint)]
        top = max((row for row in table if self.counts(row)), key=lambda row: row["top1"])
        return {
            f"{self.name}/top1": top["top1"],
            f"{self.name}/top1_interval": top["top1_interval"],
            "table": table,
        }

    def counts(self, row: Row) -> bool:
        """Whether a row of the table may stand for all."""
        return True

    def rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        """One for each pool and setting of the classifier."""
        classes = needs_classes(checkpoint, f"evaluate={self.name}")
        for about, bank, held_out in self.features(checkpoint):
            check_labels(torch.cat([bank.label, held_out.label]), classes)
            for setting, score in self.judge(bank, held_out.feature, classes).items():
                yield (
                    about
                    | {"setting": setting}
                    | accuracies(score, held_out.label, checkpoint.data.classes)
                )

    def features(self, checkpoint: EvaluatedCheckpoint) -> Iterator[tuple[Row, Features, Features]]:
        """What each pool makes of the bank and of the held-out images, with what a row says about
        it.
        """
        extractor = FeatureExtractor(
            checkpoint.encoder, ready(self.pools, checkpoint.encoder), self.block, self.norm
        )
        for pool, (bank, held_out) in bank_and_held_out(
            checkpoint, extractor, self.bank_limit, self.held_out_limit
        ).items():
            yield (
                {"checkpoint": checkpoint.name, "pool": pool, "block": extractor.block_number},
                bank,
                held_out,
            )
