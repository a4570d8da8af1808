"""`python -m mim embed`: what it does once its command line is read."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mim.door.embed import embed
from mim.door.features import Embedder
from mim.door.load import load_weights
from mim.door.source import Source
from mim.door.sources import source_of
from mim.evaluate.feature_cache import digest, tensors_key
from mim.figure.opened import open_data
from mim.geometry import Geometry
from mim.plain import printable
from mim.weights.read import read_weights
from mim.weights.weights import Weights


def run(given: argparse.Namespace, configs: Path) -> None:
    """Embed, and say what was written."""
    weights = read_weights(given.checkpoint, given.key)._replace(own_encoder=given.encoder)
    encoder = load_weights(weights, given.image_size, given.heads)
    print(encoder.describe())
    pictures = pictures_of(given.pictures, weights, encoder.geometry, configs)
    source = source_of(pictures, encoder.preprocess, given.part, given.workers)
    device = torch.device(given.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    extract = Embedder(
        encoder.to(device), given.pool, given.block, given.patches, not given.no_norm
    )
    wanted = {
        "checkpoint": given.checkpoint,
        "pool": None if given.patches else given.pool,
        "block": extract.extractor.block_number,
        "norm": not given.no_norm,
        "precision": given.precision,
    }
    images = encoder.preprocess.images.to_plain()
    key = digest(
        [wanted, images, tensors_key(encoder.state_dict()), encoder.geometry, _names(source)]
    )

    def precisely(image: Tensor) -> Tensor:
        precision: AbstractContextManager[object] = nullcontext()
        if given.precision == "bf16":
            precision = torch.autocast(device.type, torch.bfloat16)
        with precision:
            return extract(image)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("embed", total=len(source))
        about = json.dumps(wanted | {"images": images})
        made = embed(
            source,
            precisely,
            given.out,
            key,
            about,
            patches=given.patches,
            batch_size=given.batch_size,
            progress=lambda done: bar.update(task, completed=done),
        )
    said = f"{'wrote':<14}{printable(given.out)}: {made.rows:,} rows"
    said += f", {made.resumed:,} pictures were done before" if made.resumed else ""
    print(said + (f", {made.unread:,} could not be read and are left out" if made.unread else ""))


def pictures_of(
    asked: Sequence[str], weights: Weights, geometry: Geometry, configs: Path
) -> object:
    """A folder, files, or a data set of ours, of the encoder's image size.

    Args:
        asked: `["photos/"]`, `["a.jpg", "b.jpg"]`, or `["data=cifar10", "data.root=/elsewhere"]`;
            settings alone are those of the run's own data set.
        weights: whose run's data set is `data=own`.
        geometry: of the encoder.
        configs: folder of the config tree.

    Raises:
        ValueError: where both are given, or a setting is no setting of a data set.
    """
    given = [each.removeprefix("+") for each in asked]  # as for evaluate
    settings = [each for each in given if each.startswith(("data=", "data."))]
    if not settings:
        return asked[0] if len(asked) == 1 else asked
    if not settings[0].startswith("data="):
        settings.insert(0, "data=own")
        given.insert(0, "data=own")
    if len(settings) < len(given):
        raise ValueError(
            f"{' '.join(asked)}: give a folder, or files, or data=<name> first and its settings "
            "after it, data.root=..."
        )
    name, others = (
        settings[0].removeprefix("data="),
        [each.removeprefix("data.") for each in settings[1:]],
    )
    if not any(each.startswith("image_size=") for each in others):
        height, width = geometry.image_size
        others.append(
            f"image_size={height}" if height == width else f"image_size=[{height},{width}]"
        )
    return open_data(weights, [*([] if name == "own" else [name]), *others], configs)


def _names(source: Source) -> str:
    """A digest of which pictures they are."""
    found = hashlib.blake2b(digest_size=16)
    for number in range(len(source)):
        found.update(source.path(number).encode(errors="surrogateescape") + b"\0")
    return found.hexdigest()
