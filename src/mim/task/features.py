"""One vector an image, from a frozen encoder on clean images."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import torch
from torch import nn
from torchmetrics.utilities.distributed import gather_all_tensors

from mim.batch import Batch
from mim.judge.features import Features


@torch.no_grad()
def extract(
    encoder: nn.Module,
    pool: nn.Module,
    batches: Iterable[Batch],
    prepare: Callable[[Batch], Batch],
    autocast: Callable[[], AbstractContextManager],
) -> Features:
    """Run the encoder, in eval mode, over every image once, also when several processes share the work.

    Args:
        encoder: (B, 3, H, W) -> (B, 1 + L, D); its mode is as before when this returns.
        pool: (B, 1 + L, D) -> (B, D).
        batches: this process's share of the images.
        prepare: moves a batch to the device and normalises it.
        autocast: the precision to run in.
    """
    was_training = encoder.training
    encoder.eval()
    rows = []
    for batch in map(prepare, batches):
        with autocast():
            rows.append((pool(encoder(batch.image)).float(), batch.label, batch.index))
    encoder.train(was_training)
    feature, label, index = (torch.cat(column) for column in zip(*rows, strict=True))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        feature, label, index = (torch.cat(gather_all_tensors(column)) for column in (feature, label, index))
    order = index.argsort()
    return Features(feature[order], label[order])
