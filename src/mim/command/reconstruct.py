"""Draw what a pre-trained model makes of pictures: image, masked, predicted, and predicted with the visible patches.

    python -m mim reconstruct runs/<name>/<date_time> photos/ --masker sbam --seeds 3 --out reconstructions
    python -m mim reconstruct mae_visualize_vit_large.pth a.jpg --masker masker.partition.ratio=0.6
    python -m mim reconstruct runs/<name>/<date_time> data=own --images 4

A .png a picture: a row a kind, a column a mask. Predictions of standardised patches are shown with each patch's own mean
and deviation put back. `--masker` takes a name of configs/masker and settings of it; the mask need not be that of the
training. Maskers that go by attention are shown the model's own.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mim.analysis.pictures import figure
from mim.command.embed import pictures_of
from mim.door.load import geometry_of
from mim.door.preprocess import Preprocess
from mim.door.reconstruct import reconstruct
from mim.door.sources import Source, source_of
from mim.launch.arguments import Arguments, path
from mim.launch.check import check_config
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from mim.plain import printable
from mim.weights.images import image_format
from mim.weights.model import open_model, open_painter
from mim.weights.read import read_weights


def run(arguments: list[str], configs: Path) -> None:
    """Reconstruct, draw, and say where the pictures are."""
    given = _parser().parse_args(arguments)
    for name, value in (("--seeds", given.seeds), ("--images", given.images)):
        if value < 1:
            raise ValueError(f"{name}={value}; needs 1 at least")
    weights = read_weights(given.checkpoint)._replace(own_encoder=given.encoder)
    model = open_model(weights, _masker(given.masker, configs), given.image_size)
    painter = open_painter(weights, model.encoder.patch_size, given.target)
    geometry = geometry_of(model.encoder)
    preprocess = Preprocess(geometry.image_size, image_format(weights))
    source = source_of(pictures_of(given.pictures, weights, geometry, configs), preprocess, given.part, workers=0)
    folder = given.out or _default_folder()
    folder.mkdir(parents=True, exist_ok=True)
    count = min(given.images, len(source))
    chosen = torch.linspace(0, len(source) - 1, count).round().long()
    drawn = 0
    for images in source.batches(chosen, 1):
        for number, image in zip(images.number.tolist(), images.image.split(1), strict=True):
            rows = reconstruct(model, painter, image, preprocess, range(given.seeds))
            file = folder / _name(source, number)
            figure(dict(rows)).savefig(file)
            print(f"{'picture':<14}{printable(file)}")
            drawn += 1
    if drawn < count:
        print(f"{'left out':<14}{count - drawn} picture(s) that cannot be read")
    if count < len(source):
        print(f"{'drawn':<14}{count} of {len(source):,} pictures, evenly spread; --images takes another number")


def _parser() -> Arguments:
    parser = Arguments("python -m mim reconstruct", __doc__)
    parser.add_argument("checkpoint", help="a run of pre-training, or weights with both halves")
    parser.add_argument("pictures", nargs="+", help="a folder, files, or data=<name> and settings of it, data.root=...")
    parser.add_argument("--masker", nargs="+", default=["random"], help="a name, and settings: sbam masker.cell=2")
    parser.add_argument("--seeds", type=int, default=1, help="how many masks of each picture; the default is 1")
    parser.add_argument("--images", type=int, default=8, help="at most so many, evenly spread; the default is 8")
    parser.add_argument("--out", type=path, help="the folder to write to; the default is a new one of runs")
    parser.add_argument(
        "--target",
        choices=("normalised", "raw"),
        help="what is predicted, where the checkpoint does not say: standardised patches (MAE) or pixels as they are (SimMIM)",
    )
    parser.add_argument("--part", choices=("held_out", "training"), default="held_out", help="of a data set")
    parser.add_argument("--image-size", type=int, help="pixels per side, where not those of the training")
    parser.add_argument("--encoder", help="a class of your own that the checkpoint is of: my_module.MyEncoder")
    return parser


def _masker(asked: list[str], configs: Path) -> Any:
    """A masker of configs/masker, with settings: `sbam`, or `masker.partition.ratio=0.6` for random."""
    named = [f"masker={each}" if "=" not in each else each for each in asked]
    others = [each for each in named if not each.startswith(("masker=", "masker.", "masker/"))]
    if others:
        raise ValueError(
            f"--masker {others[0]} is no setting of a masker; e.g. --masker sbam masker.partition.ratio=0.6"
        )
    register_resolvers()
    with initialize_config_dir(str(configs), version_base="1.3"):
        cfg = compose("gallery", quoted(named))
    check_config(OmegaConf.create({"masker": OmegaConf.to_container(cfg.masker, resolve=True)}))
    return instantiate(cfg.masker)


def _default_folder() -> Path:
    return Path(os.environ.get("MIM_RUNS", "runs")) / "reconstructions" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"


def _name(source: Source, number: int) -> str:
    """`0003_bird.png`: its number keeps pictures of one name apart."""
    return f"{number:04}_{Path(source.path(number)).stem}.png"
