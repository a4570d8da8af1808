"""Mask images of a data set with several maskers, draw and count what they hide:
`python -m mim gallery`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor

from mim.analysis.drawn_channels import as_colours
from mim.analysis.gallery import gallery
from mim.analysis.mask_statistics import statistics_of_masks
from mim.batch import Batch
from mim.data.module import Data
from mim.encoder.encoder import Attends, Encoder, cls_attention
from mim.logger import wandb
from mim.logger.image_logger import log_image
from mim.masker.any_masker import AnyMasker
from mim.masker.attention_store import AttentionStore, attention_weights
from mim.masker.scheduled import Scheduled
from mim.masker.score.salience import salience
from mim.masker.split import Split
from mim.weights.load import open_encoder


class MaskedImages(NamedTuple):
    """What is known of many images."""

    image: Tensor
    """(R, 3, H, W) in [0, 1], of the few that are drawn."""
    rows: Tensor
    """(R,), which they are."""
    heat: dict[str, Tensor]
    """Salience and attention, (N, L) each in [0, 1]."""
    splits: dict[str, Split]
    """By masker, of all N images."""


def draw(composed: dict[str, DictConfig]) -> None:
    """Draw, count, print; the picture and the numbers go to the run folder.

    Args:
        composed: checked configs of a gallery, by the name of the masker that each has.
    """
    cfg = next(iter(composed.values()))
    data = instantiate(cfg.data)
    encoder: Encoder = (
        open_encoder(
            cfg.checkpoint, data.image_size, own=cfg.encoder._target_, channels=data.channels
        )[0]
        if cfg.checkpoint
        else instantiate(cfg.encoder)
    )
    seen = _look(
        cfg, data, encoder.eval(), {name: instantiate(c.masker) for name, c in composed.items()}
    )

    folder = Path(cfg.paths.run)
    folder.mkdir(parents=True)
    drawn = {name: _rows(split, seen.rows) for name, split in seen.splits.items()}
    heat = {name: values[seen.rows] for name, values in seen.heat.items()}
    gallery(as_colours(seen.image, cfg.channels), heat, drawn, encoder.geometry.patch_size).savefig(
        folder / "gallery.png"
    )
    numbers = {
        name: {by: statistics_of_masks(split, score)._asdict() for by, score in seen.heat.items()}
        for name, split in seen.splits.items()
    }
    (folder / "gallery.json").write_text(json.dumps(numbers, indent=2) + "\n")
    log_image(instantiate(cfg.logger).values(), "gallery", folder / "gallery.png")
    wandb.finish()
    _print(numbers, len(next(iter(seen.heat.values()))), folder)


@torch.no_grad()
def _look(
    cfg: DictConfig, data: Data, encoder: Encoder, maskers: dict[str, AnyMasker]
) -> MaskedImages:
    """Embed, attend and mask the images, one batch after another."""
    for masker in maskers.values():
        masker.train()  # the images are those that the stores are filled with
        for part in masker.modules():
            if isinstance(part, Scheduled):
                part.begin_epoch(part.at_epoch)
    count = min(cfg.images, data.train_size)
    rows = torch.linspace(0, count - 1, cfg.pictures + 2)[1:-1].round().long()
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    image: list[Tensor] = []
    heat: list[dict[str, Tensor]] = []
    splits: dict[str, list[Split]] = {name: [] for name in maskers}
    for batch in _batches(data, count):
        tokens = encoder.embed(batch.image)
        found = {"salience": salience(tokens)}
        if isinstance(encoder, Attends):
            row = cls_attention(encoder, batch.image)
            found["attention"] = attention_weights(row)
        heat.append(found)
        image += [
            batch.image[i] * std + mean
            for i in range(len(batch.image))
            if int(batch.index[i]) in rows.tolist()
        ]
        here = batch._replace(index=torch.arange(len(batch.image)))
        for name, masker in maskers.items():
            for store in (part for part in masker.modules() if isinstance(part, AttentionStore)):
                store.maps = (
                    attention_weights(row, store.heads).unflatten(1, encoder.geometry.grid).half()
                )
            splits[name].append(masker(here, encoder.geometry.grid, tokens))
    return MaskedImages(
        image=torch.stack(image),
        rows=rows,
        heat={name: torch.cat([found[name] for found in heat]) for name in heat[0]},
        splits={name: _join(parts) for name, parts in splits.items()},
    )


def _batches(data: Data, count: int) -> Iterator[Batch]:
    """The first `count` training images, whole, normalised."""
    data.setup()
    for batch in data.unaugmented_dataloader():
        keep = batch.index < count
        if not keep.any():
            return
        yield data.on_after_batch_transfer(batch.some(keep))


def _join(parts: list[Split]) -> Split:
    def joined(columns: list[Tensor | None]) -> Tensor | None:
        given = [column for column in columns if column is not None]
        return torch.cat(given) if given else None

    return Split(
        torch.cat([part.visible for part in parts]),
        torch.cat([part.masked for part in parts]),
        joined([part.visible_valid for part in parts]),
        joined([part.masked_valid for part in parts]),
    )


def _rows(split: Split, rows: Tensor) -> Split:
    visible_valid, masked_valid = (
        None if column is None else column[rows]
        for column in (split.visible_valid, split.masked_valid)
    )
    return Split(split.visible[rows], split.masked[rows], visible_valid, masked_valid)


def _print(numbers: dict[str, dict[str, dict[str, float]]], images: int, folder: Path) -> None:
    table = Table(title=f"{images:,} images", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("masker", "masked", "thrown", "masked in the more", "", "entropy of"):
        table.add_column(column, justify="left" if column == "masker" else "right")
    table.add_row("", "", "", "salient half", "attended half", "positions")
    for name, by in numbers.items():
        first = by["salience"]
        shares = [
            f"{by[score]['in_upper_half']:.1%}" if score in by else ""
            for score in ("salience", "attention")
        ]
        table.add_row(
            name,
            f"{first['masked']:.1%}",
            f"{first['thrown']:.1%}",
            *shares,
            f"{first['entropy']:.4f}",
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(f"picture  {folder / 'gallery.png'}", soft_wrap=True)
