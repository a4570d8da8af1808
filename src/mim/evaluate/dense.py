"""Frozen dense features: how well patch tokens tell the classes of pixels apart, by neighbours and
by a linear layer.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, one_hot

from mim.dense import IGNORE
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_cache import cached_features, from_cache_or_made
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.overlap import Overlap
from mim.ranges import Count, NotNegative, Positive, Seed

Precision = Literal["float16", "float32"]


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
        precision: Precision = "float16",
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
            Patches(tokens[:, prefix:], loader.dataset.label_maps(loader.sampler.index), grid)
            for tokens, loader in zip((bank, asked), loaders, strict=True)
        )
        return first, second


class DenseKNN(DenseFeatures):
    """Nearest patches by cosine similarity vote for the class that most of their pixels have (CAPI,
    arXiv 2502.08769).

    Args:
        k: neighbours that vote.
        temperature: of the votes.
        bank_patches: patches that are voted among, drawn from all of them.
        seed: of that draw.
        block, norm, precision, bank_limit, held_out_limit: those of `DenseFeatures`.
    """

    name = "dense_knn"

    def __init__(
        self,
        k: Count = 30,
        temperature: Positive = 0.07,
        bank_patches: Count = 100_000,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        precision: Precision = "float16",
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        super().__init__(block, norm, precision, bank_limit, held_out_limit)
        self.k, self.temperature, self.bank_patches, self.seed = k, temperature, bank_patches, seed

    def score(
        self, bank: Patches, asked: Patches, classes: int, device: torch.device
    ) -> Iterator[Tensor]:
        """Votes of the nearest patches."""
        images, L, D = bank.token.shape
        draws = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(images * L, generator=draws)[: self.bank_patches].sort().values
        shares = torch.cat(
            [bank.shares(part, classes) for part in torch.arange(images).split(64)]
        ).flatten(0, 1)[chosen]
        known = shares.sum(dim=1) > 0
        votes = one_hot(shares[known].argmax(dim=1), classes).float().to(device)
        reference = normalize(bank.token.reshape(-1, D)[chosen[known]].to(device).float(), dim=1)
        at_once = max(1, 2**25 // (len(reference) * L))
        for part in asked.token.split(at_once):
            query = normalize(part.to(device).float().flatten(0, 1), dim=1)
            similarity, neighbour = (query @ reference.T).topk(min(self.k, len(reference)), dim=1)
            weight = (similarity / self.temperature).exp()[..., None]
            score = (weight * votes[neighbour]).sum(dim=1)
            yield (score / score.sum(dim=1, keepdim=True)).unflatten(0, (len(part), L)).cpu()


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
        precision: Precision = "float16",
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
