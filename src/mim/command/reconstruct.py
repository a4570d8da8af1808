"""`python -m mim reconstruct`: what it does once its command line is read."""

import argparse
import os
from datetime import datetime
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mim.analysis.pictures import figure
from mim.command.embed import pictures_of
from mim.door.preprocess import Preprocess
from mim.door.reconstruct import reconstruct
from mim.door.source import Source
from mim.door.sources import source_of
from mim.launch.check import check_config
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from mim.masker.any_masker import AnyMasker
from mim.plain import printable, settings_of
from mim.weights.images import image_format
from mim.weights.model import open_model, open_painter
from mim.weights.read import read_weights


def run(given: argparse.Namespace, configs: Path) -> None:
    """Reconstruct, draw, and say where the pictures are."""
    weights = read_weights(given.checkpoint, given.key)._replace(own_encoder=given.encoder)
    weights = weights.with_heads(given.heads)
    if given.decoder_heads is not None:
        weights = weights._replace(decoder_heads=given.decoder_heads)
    model = open_model(weights, _masker(given.masker, configs), given.image_size)
    painter = open_painter(weights, model.encoder.geometry, given.target)
    geometry = model.encoder.geometry
    preprocess = Preprocess(geometry.image_size, image_format(weights))
    source = source_of(
        pictures_of(given.pictures, weights, geometry, configs), preprocess, given.part, workers=0
    )
    folder = given.out or _default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    count = min(given.images, len(source))
    chosen = torch.linspace(0, len(source) - 1, count).round().long()
    drawn = 0
    for images in source.batches(chosen, 1):
        for number, image in zip(images.number.tolist(), images.image.split(1), strict=True):
            rows = reconstruct(
                model, painter, image, preprocess, range(given.seeds), given.channels
            )
            file = folder / _name(source, number)
            figure(dict(rows)).savefig(file)
            print(f"{'picture':<14}{printable(file)}")
            drawn += 1
    if drawn < count:
        print(f"{'left out':<14}{count - drawn} picture(s) that cannot be read")
    if count < len(source):
        print(
            f"{'drawn':<14}{count} of {len(source):,} pictures, evenly spread; --images takes "
            "another number"
        )


def _masker(asked: list[str], configs: Path) -> AnyMasker:
    """A masker of configs/masker, with settings: `sbam`, or `masker.partition.ratio=0.6` for
    random.
    """
    named = [f"masker={each}" if "=" not in each else each for each in asked]
    others = [each for each in named if not each.startswith(("masker=", "masker.", "masker/"))]
    if others:
        raise ValueError(
            f"--masker {others[0]} is no setting of a masker; e.g. --masker sbam "
            "masker.partition.ratio=0.6"
        )
    register_resolvers()
    with initialize_config_dir(str(configs), version_base="1.3"):
        cfg = compose("gallery", quoted(named))
    check_config(OmegaConf.create({"masker": settings_of(cfg.masker, resolve=True)}))
    return instantiate(cfg.masker)


def _default_folder() -> Path:
    return (
        Path(os.environ.get("MIM_RUNS", "runs"))
        / "reconstructions"
        / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    )


def _name(source: Source, number: int) -> str:
    """`0003_bird.png`: its number keeps pictures of one name apart."""
    return f"{number:04}_{Path(source.path(number)).stem}.png"
