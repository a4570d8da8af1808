"""One vector an image, from a frozen encoder on clean images."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors

from mim.all_processes import is_alone
from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.feature_extractor import FeatureExtractor


class Features(NamedTuple):
    """Features of a data set, in the order of its images."""

    feature: Tensor
    """(N, D) float32."""
    label: Tensor
    """(N,) int64."""


Judge = Callable[[Features, Tensor, int], Mapping[str, Tensor]]
"""Labelled features, queries (M, D) and the number of classes -> class scores (M, classes) of each
of its settings, by name.
"""


class ExtractedBatch(NamedTuple):
    """One batch."""

    tokens: Tensor
    """(B, R + L, D)."""
    pooled: dict[str, Tensor]
    """By pool, (B, D') float32."""
    label: Tensor
    """(B,)."""
    index: Tensor  # type: ignore[assignment]  # a field, not tuple.index
    """(B,)."""


class Extractor(Protocol):
    """What makes of images tokens, and what stands for each image."""

    encoder: Encoder

    def __call__(self, image: Tensor, /) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, C, H, W) -> tokens (B, R + L, D), and by name (B, D')."""


@torch.no_grad()
def extract_batches(
    checkpoint: EvaluatedCheckpoint, extractor: Extractor, batches: Iterable[Batch]
) -> Iterator[ExtractedBatch]:
    """Run the encoder, in eval mode, over every image once; its mode is as before when this
    ends.
    """
    was_training = extractor.encoder.training
    extractor.encoder.eval()
    try:
        for batch in map(checkpoint.prepare, batches):
            with checkpoint.autocast():
                tokens, pooled = extractor(batch.image)
            yield ExtractedBatch(
                tokens,
                {name: feature.float() for name, feature in pooled.items()},
                batch.label,
                batch.index,
            )
    finally:
        extractor.encoder.train(was_training)


def extract(
    checkpoint: EvaluatedCheckpoint, extractor: FeatureExtractor, batches: Iterable[Batch]
) -> dict[str, Features]:
    """What each pool makes of the images, in their order, also when several processes share the
    work.

    Args:
        checkpoint: how images get to the encoder.
        extractor: the encoder, and pools by name.
        batches: this process's share of the images.
    """
    seen = [
        (batch.pooled, batch.label, batch.index)
        for batch in extract_batches(checkpoint, extractor, batches)
    ]
    order = _everyone([index for _, _, index in seen]).argsort()
    label = _everyone([label for _, label, _ in seen])[order]
    return {
        name: Features(_everyone([pooled[name] for pooled, _, _ in seen])[order], label)
        for name in extractor.pools
    }


def _everyone(parts: list[Tensor]) -> Tensor:
    """The rows of all batches, of all processes."""
    rows = torch.cat(parts)
    return rows if is_alone() else torch.cat(gather_all_tensors(rows))
