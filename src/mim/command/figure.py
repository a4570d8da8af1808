"""Draw what papers draw, from finished runs and checkpoints: a picture, and its numbers as CSV beside it.

ratio             accuracy over the masking ratio, with PIMR and Global PIMR (SBAM)
    python -m mim figure ratio runs/sweeps/<name> --metric linear/top1
epochs            accuracy and loss over the epochs of several runs
    python -m mim figure epochs runs/<name>/<date_time> runs/<other>/<date_time>
attention         what the cls token attends to: checkpoints side by side, or head by head (AMT)
    python -m mim figure attention runs/<name>/<date_time> timm:vit_base_patch16_224.mae --heads --files bird.jpg
reconstructions   an image under several mask seeds, and where they disagree (EMAE)
    python -m mim figure reconstructions runs/<name>/<date_time> --seeds 0 1 2 --rows 7

`python -m mim figure <name> --help` has the settings of one.
"""

import argparse
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import Tensor

from mim.figure.attention import attention_figure, attention_maps
from mim.figure.epochs import epochs_figure
from mim.figure.images import batch_of
from mim.figure.opened import Choice, Opened, open_checkpoints, open_images
from mim.figure.ratio import ratio_figure
from mim.figure.reconstructions import Made, reconstruct, reconstructions_figure
from mim.figure.runs import Run, common_accuracy, find_runs
from mim.figure.series import sorted_into_series
from mim.figure.table import Drawn, write
from mim.launch.arguments import Arguments, path
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.model import open_model, open_painter


def run(arguments: list[str], configs: Path) -> None:
    """Draw one figure, and say where it is."""
    given = parser().parse_args(arguments, argparse.Namespace(configs=configs))
    picture = given.out or _default_picture(given.name)
    if picture.suffix != ".png":
        raise ValueError(
            f"--out={picture} is no .png file; the numbers go beside it as .csv, e.g. --out figures/{given.name}.png"
        )
    print(write(given.draw(given), picture))


def parser() -> Arguments:
    """What the command line may say, figure by figure."""
    whole = Arguments("python -m mim figure", __doc__)
    names = whole.add_subparsers(dest="name", metavar="name", required=True)
    for add in (_ratio, _epochs, _attention, _reconstructions):
        add(names)
    return whole


def _default_picture(name: str) -> Path:
    return Path(os.environ.get("MIM_RUNS", "runs")) / "figures" / f"{datetime.now():%Y-%m-%d_%H-%M-%S}" / f"{name}.png"


def _add(names: "argparse._SubParsersAction", name: str, what: str, draw: Callable[..., Drawn]) -> Arguments:
    parser = names.add_parser(name, help=what, description=f"{what}\n")
    parser.add_argument("--out", type=path, help="the .png file to write; the default is a new folder of runs/figures")
    parser.set_defaults(draw=draw)
    return parser


def _ratio(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "ratio", "accuracy over the masking ratio, with PIMR and Global PIMR (SBAM)", _draw_ratio)
    _add_runs(
        parser,
        "finished runs of several ratios, or folders that hold them; also what eval.py or fine-tuning made of them",
    )
    parser.add_argument(
        "--metric", help="a number of results.json, e.g. linear/top1; the default is an accuracy that all have"
    )


def _epochs(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "epochs", "accuracy and loss over the epochs of several runs", _draw_epochs)
    _add_runs(parser, "runs, or folders that hold them")
    parser.add_argument(
        "--metric", nargs="+", help="columns of metrics.csv, a panel each; the default is an accuracy and train/loss"
    )


def _add_runs(parser: Arguments, what: str) -> None:
    parser.add_argument("runs", nargs="+", type=path, help=what)
    parser.add_argument("--names", nargs="+", help="what the figure calls the series, in their order")


def _draw_ratio(given: argparse.Namespace) -> Drawn:
    found = find_runs(given.runs)
    runs = [run for run in found if run.status == "finished"]
    if not runs:
        raise ValueError(f"none of these {len(found)} run(s) is finished ({found[0].folder}: {found[0].status})")
    series = sorted_into_series(runs, lambda run: run.mask_ratio()[0], given.names)
    drawn = ratio_figure(series, given.metric or common_accuracy(runs))
    left_out = len(found) - len(runs)
    return drawn._replace(what=f"{drawn.what}; {left_out} unfinished left out") if left_out else drawn


def _draw_epochs(given: argparse.Namespace) -> Drawn:
    runs = find_runs(given.runs)
    metrics = given.metric or _accuracy_and_loss(runs)
    return epochs_figure(sorted_into_series(runs, lambda run: None, given.names), metrics)


def _accuracy_and_loss(runs: list[Run]) -> list[str]:
    return [common_accuracy(runs), "train/loss"]


def _attention(names: "argparse._SubParsersAction") -> None:
    what = "what the cls token attends to, of checkpoints side by side, or head by head"
    parser = _add(names, "attention", what, _draw_attention)
    _add_checkpoints(parser, count=4)
    parser.add_argument("--block", type=int, help="whose attention, counted from 1; the default is the last")
    parser.add_argument("--heads", action="store_true", help="draw every head, a row a checkpoint")


def _reconstructions(names: "argparse._SubParsersAction") -> None:
    what = "an image under several mask seeds, as checkpoints reconstruct it, and where they disagree"
    parser = _add(names, "reconstructions", what, _draw_reconstructions)
    _add_checkpoints(parser, count=1)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the masks; the default is 0 1 2")
    parser.add_argument(
        "--ratio", type=float, default=0.75, help="share of patches masked at random; the default is 0.75"
    )
    parser.add_argument("--cell", type=int, default=1, help="patches per side of what is masked as one; SimMIM: 2")
    parser.add_argument(
        "--target",
        choices=("normalised", "raw"),
        help="what is predicted, where the checkpoint does not say: standardised patches (MAE) or pixels as they are (SimMIM)",
    )


def _add_checkpoints(parser: Arguments, count: int) -> None:
    parser.add_argument("checkpoints", nargs="+", help="run folders, files, timm:<name> or hf:<repository>")
    parser.add_argument("--names", nargs="+", help="what the figure calls them")
    parser.add_argument("--encoder", help="a class of your own that they are of: my_module.MyEncoder")
    parser.add_argument(
        "--images", type=int, default=count, help=f"held-out images, evenly spread; the default is {count}"
    )
    parser.add_argument("--rows", nargs="+", type=int, help="held-out images, by their numbers")
    parser.add_argument("--files", nargs="+", type=path, help="pictures instead")
    parser.add_argument(
        "--data",
        nargs="+",
        help="another data set, or other settings of it: cifar10, or image_folder root=/my/pictures, or root=/elsewhere",
    )


def _choice(given: argparse.Namespace) -> Choice:
    if given.images < 1:
        raise ValueError(f"--images={given.images}; needs one at least")
    return Choice(given.images, given.rows, given.files, given.data)


def _draw_attention(given: argparse.Namespace) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    image, names = open_images(opened[0].weights, _choice(given), given.configs)
    maps = []
    for each in opened:
        encoder = build_encoder(each.weights, image.shape[2]).eval()
        load_weights_into(each.weights, encoder)
        maps.append(attention_maps(encoder, batch_of(image, each.mean, each.std).image, each.name, given.block))
    return attention_figure(image, names, maps, given.heads)


def _draw_reconstructions(given: argparse.Namespace) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    masker = Masker(Random(), FixedRatio(given.ratio), given.cell)
    image, names = open_images(opened[0].weights, _choice(given), given.configs)
    models = {each.name: open_model(each.weights, masker, image.shape[2]) for each in opened}
    patch_sizes = {name: model.encoder.patch_size for name, model in models.items()}
    if len(set(patch_sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in patch_sizes.items())
        raise ValueError(
            f"these checkpoints cannot be given the same masks: their patches are {said} pixels wide; draw them one by one"
        )
    made = {each.name: _reconstruct(each, models[each.name], image, given) for each in opened}
    return reconstructions_figure(image, names, made, given.seeds, next(iter(patch_sizes.values())))


def _reconstruct(each: Opened, model: Any, image: Tensor, given: argparse.Namespace) -> Made:
    painter = open_painter(each.weights, model.encoder.patch_size, given.target)
    return reconstruct(model, painter, image, each.mean, each.std, given.seeds)
