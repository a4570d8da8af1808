"""Features on disk, so that an encoder sees each image once, however often its features are
judged.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.evaluate.array_file import ArrayFile
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import extract_batches
from mim.plain import printable
from mim.pool.pool import Pool

T = TypeVar("T")


@runtime_checkable
class _Stamped(Protocol):
    """Data set that can say whether its pictures are still those that they were."""

    def stamp(self, index: Tensor) -> str:
        """The same for the same pictures (N,), in this order, with the same labels."""


def cached_features(
    folder: Path,
    checkpoint: EvaluatedCheckpoint,
    extractor: FeatureExtractor,
    part: Literal["bank", "held_out"],
    limit: int | None,
    tokens: torch.dtype | None = None,
) -> dict[str, Tensor]:
    """Memory maps of what an encoder made of N images, in their order; they are looked at once for
    all that is not there yet.

    Args:
        folder: one array for each encoder, data set, block, precision and pool; of pictures that
            have changed since, or their labels, others.
        checkpoint: the encoder, the images, and the key of both.
        extractor: the block, the norm and the pools.
        part: training images, clean, or those held out.
        limit: at most so many images, evenly spread; null for all.
        tokens: keep the tokens as well, in this precision.

    Returns:
        `label` (N,), by pool (N, D') float32, and `tokens` (N, R + L, D) if asked for.

    Raises:
        OSError: where the disk has no room for them.
    """
    loader = (
        checkpoint.data.bank_dataloader(limit)
        if part == "bank"
        else checkpoint.data.val_dataloader(limit)
    )
    index = torch.cat([rows.index for rows in loader.sampler])
    count, pictures = len(index), loader.dataset
    stamp = pictures.stamp(index) if isinstance(pictures, _Stamped) else ""
    base = [checkpoint.key, stamp, part, count, extractor.block_number, extractor.norm]
    columns = {"label": ArrayFile(folder / digest([*base, "label"]), torch.int64)}
    columns |= {
        name: ArrayFile(folder / digest([*base, pool_key(p)]), torch.float32)
        for name, p in extractor.pools.items()
    }
    if tokens:
        columns["tokens"] = ArrayFile(folder / digest([*base, "tokens", str(tokens)]), tokens)
    missing = {name: column for name, column in columns.items() if not column.holds(count)}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        if "tokens" in missing:
            _needs_room(folder, count, extractor.encoder, tokens)
        _write(missing, checkpoint, extractor.only(missing), loader)
    return {name: column.open() for name, column in columns.items()}


def from_cache_or_made(
    cache: Path | None, store: Callable[[Path], T], otherwise: Callable[[], T]
) -> T:
    """What is stored in a cache; where there is none, or it takes nothing, what is made for this
    time only.

    Args:
        cache: folder, or null.
        store: looks there, and writes what is not there yet.
        otherwise: does without.
    """
    if cache is not None:
        try:
            return store(cache)
        except OSError as error:
            print(
                f"{'cache':<14}{printable(cache)} takes nothing ({printable(error)}): features are "
                "kept for this time only; "
                "another folder is cache=<folder>, and none cache=null",
                flush=True,
            )
    return otherwise()


def _write(
    columns: dict[str, ArrayFile],
    checkpoint: EvaluatedCheckpoint,
    extractor: FeatureExtractor,
    loader: Iterable[Batch],
) -> None:
    try:
        for seen in extract_batches(checkpoint, extractor, loader):
            rows = {"label": seen.label, "tokens": seen.tokens} | seen.pooled
            for name, column in columns.items():
                column.append(rows[name])
        for column in columns.values():
            column.finish()
    finally:
        for column in columns.values():
            column.discard()


def _needs_room(folder: Path, count: int, encoder: Encoder, dtype: torch.dtype | None) -> None:
    rows, columns = encoder.geometry.grid
    wanted = (
        count
        * (encoder.prefix + rows * columns)
        * encoder.width
        * (dtype or torch.float32).itemsize
    )
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise OSError(
            f"the tokens of {count:,} images take {wanted / 1e9:,.1f} GB and {folder} has "
            f"{free / 1e9:,.1f} GB left; take fewer "
            "(bank_limit=...), another folder (cache=...), or pools without weights of their own, "
            "which keep one vector an image"
        )


def pool_key(pool: Pool) -> str:
    """The same for pools that make the same of the same tokens."""
    hidden = ("_", "training")  # whatever mode it is in, it is looked through in eval mode
    settings = {
        name: str(value) for name, value in vars(pool).items() if not name.startswith(hidden)
    }
    return digest([type(pool).__qualname__, settings, tensors_key(pool.state_dict())])


def tensors_key(tensors: dict[str, Tensor]) -> str:
    """Digest of weights: of their names, types, shapes and values."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return found.hexdigest()


def digest(content: Iterable[object]) -> str:
    """The same for the same plain values."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
