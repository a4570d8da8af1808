"""The quick probe: features are extracted once and kept; then heads are trained on them in seconds,
a whole grid at once.
"""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from mim.encoder.encoder import Encoder
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint, check_labels, needs_classes
from mim.evaluate.evaluation import Row
from mim.evaluate.feature_cache import cached_features, from_cache_or_made
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.heads import Heads, Setting
from mim.evaluate.metrics import accuracies
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.pool.pool import Pool, Pools, fitted, pool_tokens, width_of
from mim.precision import DTYPES
from mim.ranges import Count, NotNegatives, Positives, Seed


class Probe:
    """Train a head for every pool, learning rate and weight decay on clean images; judge each on
    those held out.

    The encoder runs over each image once, frozen, in eval mode. Pools without weights keep one
    vector an image, those with weights are trained on the tokens themselves.

    Args:
        pools: what stands for an image, by name.
        lr: peak learning rates of AdamW, falling along a cosine after a tenth of the epochs.
        weight_decay: decoupled weight decays.
        epochs: passes over the features.
        batch_size: images per step.
        seed: of weights and order.
        block: of which block's tokens; null for the last.
        norm: whether the encoder's final norm is applied to them.
        precision: what tokens are kept in; vectors are always float32.
        bank_limit: learn from at most so many training images; null for all.
        held_out_limit: judge at most so many held-out images; null for all.
    """

    learns = True

    def __init__(
        self,
        pools: Pools,
        lr: Positives = (3e-4, 1e-3, 3e-3, 1e-2),
        weight_decay: NotNegatives = 0.0,
        epochs: Count = 20,
        batch_size: Count = 256,
        seed: Seed = 0,
        block: int | None = None,
        norm: bool = True,
        precision: Literal["float16", "float32"] = "float16",
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
    ):
        self.pools, self.settings = pools, grid(lr, weight_decay)
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.block, self.norm, self.precision = block, norm, precision
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit

    def __call__(self, checkpoints: Sequence[EvaluatedCheckpoint]) -> Row:
        """`probe/top1` of the best head, which one it is, and a table of all."""
        return best("probe", [row for checkpoint in checkpoints for row in self._rows(checkpoint)])

    def _rows(self, checkpoint: EvaluatedCheckpoint) -> Iterator[Row]:
        classes = needs_classes(checkpoint, "evaluate=probe")
        free, learned = sort_pools(self.pools, checkpoint.encoder, self.seed)
        extractor = FeatureExtractor(checkpoint.encoder, free, self.block, self.norm)
        tokens = DTYPES[self.precision] if learned else None
        device = next(checkpoint.encoder.parameters()).device
        with tempfile.TemporaryDirectory() as nowhere:

            def store(folder: Path) -> list[dict[str, Tensor]]:
                kept = [
                    cached_features(folder, checkpoint, extractor, "bank", self.bank_limit, tokens)
                ]
                return [
                    *kept,
                    cached_features(
                        folder, checkpoint, extractor, "held_out", self.held_out_limit, tokens
                    ),
                ]

            bank, asked = from_cache_or_made(checkpoint.cache, store, partial(store, Path(nowhere)))
            check_labels(torch.cat([bank["label"], asked["label"]]), classes)
            for name in self.pools:
                pool = learned.get(name)
                if pool is None:
                    x, y = bank[name], asked[name]
                else:
                    x, y = (
                        pool_tokens(part["tokens"], checkpoint.encoder.prefix, pool.needs)
                        for part in (bank, asked)
                    )
                width = x.shape[1] if pool is None else width_of(pool, checkpoint.encoder)
                heads = Heads(pool, width, classes, self.settings, self.seed).to(device)
                self._fit(heads, near(x, device), bank["label"].to(device))
                scores = predict(heads, near(y, device), self.batch_size)
                about = {
                    "checkpoint": checkpoint.name,
                    "pool": name,
                    "block": extractor.block_number,
                    "norm": self.norm,
                }
                yield from rows(
                    about, heads, scores, asked["label"].to(device), checkpoint.data.classes
                )

    @torch.enable_grad()
    def _fit(self, heads: Heads, x: Tensor, label: Tensor) -> None:
        """Features (N, ...) and labels (N,), wherever they are."""
        generator = torch.Generator().manual_seed(self.seed)
        size = min(self.batch_size, len(x))
        steps = len(x) // size
        schedule = WarmupCosine(self.epochs / 10)
        optimizer = torch.optim.AdamW([dict(group) for group in heads.groups()], fused=True)
        follow = LambdaLR(
            optimizer, lambda step: schedule(Progress(step, self.epochs * steps, steps), 1.0)
        )
        for _ in range(self.epochs):
            order = torch.randperm(len(x), generator=generator)[: steps * size].view(steps, size)
            for chosen in order.sort(dim=1).values:  # in the order that they lie on disk
                optimizer.zero_grad()
                heads.loss(pick(x, chosen, label.device), label[chosen.to(label.device)]).backward()
                optimizer.step()
                follow.step()


def grid(lr: float | Sequence[float], weight_decay: NotNegatives) -> list[Setting]:
    """Every learning rate with every weight decay."""
    rates, decays = ([v] if isinstance(v, int | float) else list(v) for v in (lr, weight_decay))
    if not rates or not decays or min(rates) <= 0 or min(decays) < 0:
        raise ValueError(
            f"a probe got lr={lr}, weight_decay={weight_decay}; needs learning rates above 0 and "
            "no negative weight decay, "
            "e.g. evaluate.lr=[1e-3,1e-2] evaluate.weight_decay=0"
        )
    return [Setting(*pair) for pair in itertools.product(rates, decays)]


def sort_pools(
    pools: Pools, encoder: Encoder, seed: int
) -> tuple[dict[str, Pool], dict[str, Pool]]:
    """Pools fitted to an encoder: those without weights to learn, and those with; each starts from
    the same seed.
    """
    free: dict[str, Pool] = {}
    learned: dict[str, Pool] = {}
    for name, pool in pools.items():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            fit = fitted(pool, encoder)
        (learned if any(weight.requires_grad for weight in fit.parameters()) else free)[name] = fit
    return free, learned


def near(x: Tensor, device: torch.device) -> Tensor:
    """Features on the device, if they take less than half of its memory; otherwise where they
    are.
    """
    if device.type == "cuda" and x.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        return x.to(device)
    return x


def pick(x: Tensor, chosen: Tensor, device: torch.device) -> Tensor:
    """Some rows, as float32 on the device."""
    return x[chosen.to(x.device)].to(device).float()


@torch.no_grad()
def predict(heads: Heads, x: Tensor, batch_size: int) -> Tensor:
    """Scores of each head for features (M, ...) -> (heads, M, classes)."""
    heads.eval()
    device = next(heads.parameters()).device
    scores = [heads(part.to(device).float()) for part in x.split(batch_size)]
    heads.train()
    return torch.cat(scores, dim=1)


def rows(
    about: Row, heads: Heads, scores: Tensor, label: Tensor, classes: Sequence[str]
) -> Iterator[Row]:
    """A row of the table for each head."""
    for setting, score in zip(heads.settings, scores, strict=True):
        yield about | {"setting": str(setting)} | accuracies(score, label, classes)


def best(name: str, table: list[Row]) -> Row:
    """What a probe reports: the best head on the held-out images, which one that is, and all of
    them.
    """
    top = max(table, key=lambda row: row["top1"])
    return {
        f"{name}/top1": top["top1"],
        f"{name}/top1_interval": top["top1_interval"],
        "best": f"pool={top['pool']} {top['setting']}",
        "table": table,
    }
