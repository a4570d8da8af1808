"""Frozen dense features judged by a linear layer on patch tokens."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from mim.evaluate.dense import DenseFeatures, Patches, TokenPrecision
from mim.ranges import Count, NotNegative, Positive, Seed


class DenseLinear(DenseFeatures):
    """Linear layer on standardised patch tokens, trained on the shares of the classes in each
    patch.

    That is the cross entropy of all pixels where the scores of a patch are those of its pixels
    (DINOv2's linear segmentation, arXiv 2304.07193, resizes them first).

    Args:
        lr: peak learning rate of AdamW, falling along a cosine.
        weight_decay: decoupled weight decay.
        epochs: passes over the training images.
        batch_size: images per step.
        seed: of the order.
        block, norm, precision, bank_limit, held_out_limit: those of `DenseFeatures`.
    """

    name = "dense_linear"

    def __init__(
        self,
        lr: Positive = 1e-2,
        weight_decay: NotNegative = 1e-4,
        epochs: Count = 20,
        batch_size: Count = 16,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        precision: TokenPrecision = "float16",
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        super().__init__(block, norm, precision, bank_limit, held_out_limit)
        self.lr, self.weight_decay, self.epochs = lr, weight_decay, epochs
        self.batch_size, self.seed = batch_size, seed

    def score(
        self, bank: Patches, asked: Patches, classes: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Scores of the trained layer."""
        head = self._fit(bank, classes, device)
        for part in asked.token.split(64):
            with torch.no_grad():
                yield head(part.to(device).float()).cpu()

    @torch.enable_grad()
    def _fit(self, bank: Patches, classes: int, device: torch.device) -> Callable[[Tensor], Tensor]:
        images, _, D = bank.token.shape
        some = (
            bank.token[torch.arange(0, images, max(1, images // 256))]
            .to(device)
            .float()
            .flatten(0, 1)
        )
        mean, std = some.mean(dim=0), some.std(dim=0) + 1e-6
        with torch.random.fork_rng(devices=[]):  # building a layer draws from the global stream
            head = nn.Linear(D, classes).to(device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        optimizer = torch.optim.AdamW(head.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        size = min(self.batch_size, images)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.epochs * (images // size)
        )
        draws = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            order = torch.randperm(images, generator=draws)[: images // size * size].view(-1, size)
            for numbers in order.sort(dim=1).values:  # in the order that they lie on disk
                share = bank.shares(numbers, classes).to(device)
                score = head((bank.token[numbers].to(device).float() - mean) / std)
                loss = -(share * score.log_softmax(dim=-1)).sum() / share.sum().clamp(min=1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        return lambda token: head((token - mean) / std)
