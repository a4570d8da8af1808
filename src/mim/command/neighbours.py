"""Search for nearest neighbours: what `python -m mim figure neighbours` does."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mim.command.embed import pictures_of
from mim.door.features import Embedder
from mim.door.load import load_weights
from mim.door.preprocess import Preprocess
from mim.door.source import Source
from mim.door.sources import source_of
from mim.figure.images import evenly_spread, per_channel
from mim.figure.neighbours import Neighbours, check_count, nearest, neighbours_figure
from mim.figure.opened import Opened, open_checkpoints
from mim.figure.table import Drawn

BATCH = 64
"""Images at a time."""


class _Searched(NamedTuple):
    """What one checkpoint was shown, and what it found."""

    preprocess: Preprocess
    among: Source
    asked: Source
    rows: list[int]
    found: Neighbours


def draw_neighbours(given: argparse.Namespace, configs: Path) -> Drawn:
    """Search the features of each checkpoint, and draw what is found, as the first sees it."""
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    searched = [_search(each, given, configs) for each in opened]
    first, found = searched[0], [each.found for each in searched]
    if len({len(each.among) for each in searched}) > 1:
        raise ValueError("these checkpoints were trained on other data sets; say --among <folder>")
    numbers = sorted({int(number) for each in found for number in each.number.flatten()})
    pictures = _drawn(first.among, numbers, first.preprocess)
    paths = {number: (first.among.path(number), first.among.label(number)) for number in numbers}
    return neighbours_figure(
        _drawn(first.asked, first.rows, first.preprocess),
        [first.asked.path(row) for row in first.rows],
        found,
        dict(zip(numbers, pictures, strict=True)),
        paths,
    )


def _search(opened: Opened, given: argparse.Namespace, configs: Path) -> _Searched:
    """What one checkpoint finds."""
    encoder = load_weights(opened.weights)
    preprocess, embedder = encoder.preprocess, Embedder(encoder, given.pool, given.block)
    pictures = pictures_of(given.among, opened.weights, encoder.geometry, configs)
    among = source_of(pictures, preprocess)
    asked = source_of(given.files, preprocess) if given.files else among
    rows = list(range(len(asked))) if given.files else _rows(given, len(among))
    check_count(given.count, len(among) - (not given.files))  # before what takes long
    there, known = _features(embedder, among, torch.arange(len(among)))
    places = {number: place for place, number in enumerate(there.tolist())}
    if given.files:
        read, query = _features(embedder, asked, torch.tensor(rows))
        itself = _of_files(given.files, among)
    else:  # their features are known
        read, itself = there, [*rows]
        query = known[[places[row] for row in rows if row in places]]
    if missing := sorted(set(rows) - set(read.tolist())):
        raise ValueError(f"{asked.path(missing[0])} is no picture that can be read; choose another")
    found, similarity = nearest(
        query, known, given.count, [None if row is None else places[row] for row in itself]
    )
    return _Searched(
        preprocess, among, asked, rows, Neighbours(opened.name, there[found], similarity)
    )


def _rows(given: argparse.Namespace, there: int) -> list[int]:
    """Numbers of the images that are asked about.

    Raises:
        ValueError: where there is no such one.
    """
    rows: list[int] = given.rows or evenly_spread(given.images, there)
    if min(rows) < 0 or max(rows) >= there:
        raise ValueError(f"--rows={' '.join(map(str, rows))}: there are {there} images, from 0 on")
    return rows


def _of_files(files: Sequence[Path], among: Source) -> list[int | None]:
    """Number of each file among the pictures; None where it is none of them."""
    numbers = {Path(among.path(number)).absolute(): number for number in range(len(among))}
    return [numbers.get(file.absolute()) for file in files]


def _features(embedder: Embedder, source: Source, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (N,) of the pictures that can be read, and their features (N, D)."""
    made = [(some, embedder(image)) for some, image in source.batches(numbers, BATCH)]
    return torch.cat([some for some, _ in made]), torch.cat([feature for _, feature in made])


def _drawn(source: Source, numbers: Sequence[int], preprocess: Preprocess) -> Tensor:
    """Images (N, C, H, W) in [0, 1]."""
    mean, std = (per_channel(each) for each in preprocess.images[:2])
    image = torch.cat([image for _, image in source.batches(torch.tensor(numbers), BATCH)])
    return (image * std + mean).clamp(0, 1)
