"""A linear classifier on frozen features, trained in a moment."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mim.task.features import Features


def linear_scores(
    train: Features, query: Tensor, classes: int, epochs: int = 50, lr: float = 1e-2, seed: int = 0
) -> Tensor:
    """Class scores of queries (M, D) by a linear probe fitted to the training features -> (M, classes).

    Features are standardised by the training set's statistics (the affine-free batch norm of MAE's probe), then a linear layer is
    trained by AdamW on batches of at most 1,024. The global random stream is left as it was.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        mean, std = train.feature.mean(0), train.feature.std(0) + 1e-6
        feature = (train.feature - mean) / std
        head = nn.Linear(feature.shape[1], classes).to(feature.device)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=0.0)
        size = min(1024, len(feature))
        steps = epochs * (len(feature) // size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(epochs):
            order = torch.randperm(len(feature), generator=generator).to(feature.device)
            for rows in order[: len(order) // size * size].view(-1, size):
                optimizer.zero_grad()
                cross_entropy(head(feature[rows]), train.label[rows]).backward()
                optimizer.step()
                schedule.step()
    with torch.no_grad():
        return head((query - mean) / std)
