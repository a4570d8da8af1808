"""A linear classifier on frozen features, trained in a moment."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mim.evaluate.features import Features
from mim.ranges import Count, Positive, Seed

TOGETHER = 64
"""Batches whose rows are gathered at once: batch by batch it was a quarter of all time."""


class Linear:
    """Standardise the features (the affine-free batch norm of MAE's probe), then fit a linear layer
    by AdamW.

    It starts from zero and draws its batches from a stream of its own: nothing else notices that it
    was here.

    Args:
        epochs: passes over the features.
        lr: peak learning rate, falling along a cosine.
        batch_size: features per step.
        seed: order of the features.
    """

    def __init__(
        self, epochs: Count = 50, lr: Positive = 1e-2, batch_size: Count = 256, seed: Seed = 0
    ):
        self.epochs, self.lr, self.batch_size, self.seed = epochs, lr, batch_size, seed

    def __call__(self, bank: Features, query: Tensor, classes: int) -> dict[str, Tensor]:
        """Class scores of queries (M, D) -> (M, classes)."""
        mean, std = bank.feature.mean(0), bank.feature.std(0) + 1e-6
        head = self._fit((bank.feature - mean) / std, bank.label, classes)
        with torch.no_grad():
            return {f"lr={self.lr}": head((query - mean) / std)}

    @torch.enable_grad()
    def _fit(self, feature: Tensor, label: Tensor, classes: int) -> nn.Linear:
        generator = torch.Generator().manual_seed(self.seed)
        with torch.random.fork_rng(devices=[]):  # building a layer draws from the global stream
            head = nn.Linear(feature.shape[1], classes).to(feature.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.lr, weight_decay=0.0)
        size = min(self.batch_size, len(feature))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.epochs * (len(feature) // size)
        )
        for _ in range(self.epochs):
            order = torch.randperm(len(feature), generator=generator).to(feature.device)
            kept = order[: len(order) // size * size]
            for x, y in _batches(feature, label, kept, size):
                optimizer.zero_grad()
                cross_entropy(head(x), y).backward()
                optimizer.step()
                schedule.step()
        return head


def _batches(
    feature: Tensor, label: Tensor, order: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows in an order, so many at a time."""
    for rows in order.split(TOGETHER * size):
        yield from zip(feature[rows].split(size), label[rows].split(size), strict=True)
