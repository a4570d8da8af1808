"""Frozen dense features: how well patch tokens tell the classes of pixels apart."""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot
from torch.utils.data import DataLoader

from mim.batch import Batch
from mim.dense import IGNORE
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_cache import cached_features, from_cache_or_made
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.overlap import Overlap
from mim.ranges import Count

TokenPrecision = Literal["float16", "float32"]
"""What tokens are kept in."""


class Patches(NamedTuple):
    """Patch tokens of N images, and the classes of their pixels."""

    token: Tensor
    """(N, L, D), where it is kept: on disk."""
    label_map: Tensor
    """(N, H, W) uint8."""
    grid: tuple[int, int]

    def shares(self, numbers: Tensor, classes: int) -> Tensor:
        """Of each patch of some images the share of its pixels that is of each class: (B, L,
        classes); 0 where ignored.
        """
        label = self.label_map[numbers].long()
        rows, columns = self.grid
        # (B, rows, columns, p, p)
        tiles = label.unflatten(2, (columns, -1)).unflatten(1, (rows, -1)).transpose(2, 3)
        tiles = tiles.flatten(3).flatten(1, 2)  # (B, L, P)
        hot = one_hot(torch.where(tiles == IGNORE, classes, tiles), classes + 1)[..., :classes]
        return hot.float().mean(dim=2)


class DenseFeatures:
    """Judge frozen patch tokens by the mean overlap of the classes that they give pixels.

    Images are shown as squares of the encoder's size. The encoder runs over each once; tokens are
    kept. Scores of patches are resized to pixels, bilinear, before a class is chosen.

    Args:
        name: of the judgement, in the row.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        precision: what tokens are kept in.
        bank_limit: learn from at most so many training images; null for all.
        held_out_limit: judge at most so many held-out images; null for all.
    """

    learns = True

    labels = "label_maps"
    squares = True
    name: str

    def __init__(
        self,
        block: int | None = None,
        norm: bool = True,
        precision: TokenPrecision = "float16",
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        self.block, self.norm, self.precision = block, norm, precision
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def score(
        self, bank: Patches, asked: Patches, classes: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Class scores of patches, (B, L, classes), of some held-out images after others."""
        raise NotImplementedError

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`<name>/miou` of the best, and a table of all."""
        table = [self._row(checkpoint) for checkpoint in checkpoints]
        return {f"{self.name}/miou": max(row["miou"] for row in table), "table": table}

    def _row(self, checkpoint: EvaluatedCheckpoint) -> Row:
        extractor = FeatureExtractor(checkpoint.encoder, {}, self.block, self.norm)
        classes = checkpoint.data.classes
        device = next(checkpoint.encoder.parameters()).device
        with tempfile.TemporaryDirectory() as nowhere:
            store = partial(self._patches, checkpoint, extractor)
            bank, asked = from_cache_or_made(checkpoint.cache, store, partial(store, Path(nowhere)))
            if (bank.label_map == IGNORE).all():
                raise ValueError(
                    "every pixel of the training label maps is ignored, so there is nothing to "
                    "learn from; see data.ignore and data.first_class"
                )
            overlap, first = Overlap(classes), 0
            for scores in self.score(bank, asked, len(classes), device):
                maps = scores.transpose(1, 2).unflatten(2, asked.grid)
                label_map = asked.label_map[first : first + len(maps)]
                size = (label_map.shape[1], label_map.shape[2])
                pixels = interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
                overlap.update(pixels.argmax(dim=1), label_map)
                first += len(maps)
        return {
            "checkpoint": checkpoint.name,
            "block": extractor.block_number,
            "norm": self.norm,
        } | overlap.row()

    def _patches(
        self, checkpoint: EvaluatedCheckpoint, extractor: FeatureExtractor, folder: Path
    ) -> tuple[Patches, Patches]:
        """Of training images and of those held out."""
        dtype = {"float16": torch.float16, "float32": torch.float32}[self.precision]
        bank = cached_features(folder, checkpoint, extractor, "bank", self.bank_limit, dtype)[
            "tokens"
        ]
        asked = cached_features(
            folder, checkpoint, extractor, "held_out", self.held_out_limit, dtype
        )["tokens"]
        data, prefix, grid = (
            checkpoint.data,
            checkpoint.encoder.prefix,
            checkpoint.encoder.geometry.grid,
        )
        loaders = data.bank_dataloader(self.bank_limit), data.val_dataloader(self.held_out_limit)
        first, second = (
            Patches(tokens[:, prefix:], _label_maps(loader), grid)
            for tokens, loader in zip((bank, asked), loaders, strict=True)
        )
        return first, second


@runtime_checkable
class _Mapped(Protocol):
    def label_maps(self, index: Tensor) -> Tensor: ...


@runtime_checkable
class _Indexed(Protocol):
    index: Tensor


def _label_maps(loader: DataLoader[Batch]) -> Tensor:
    """Label maps (N, H, W) of the images that a loader gives, in its order."""
    assert isinstance(loader.dataset, _Mapped)
    assert isinstance(loader.sampler, _Indexed)
    return loader.dataset.label_maps(loader.sampler.index)
