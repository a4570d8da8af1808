"""`python -m mim figure`: read runs or open checkpoints, draw, and write the numbers beside the
picture.
"""

import argparse
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from torch import Tensor

from mim.encoder.encoder import Encoder
from mim.figure.attention import attention_figure, attention_maps
from mim.figure.epochs import epochs_figure
from mim.figure.images import batch_of
from mim.figure.opened import Choice, Opened, open_checkpoints, open_images
from mim.figure.pca import patch_components, pca_figure
from mim.figure.ratio import ratio_figure
from mim.figure.reconstructions import Made, reconstruct, reconstructions_figure
from mim.figure.runs import Run, common_accuracy, find_runs
from mim.figure.series import sorted_into_series
from mim.figure.table import Drawn, write
from mim.geometry import by
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.masked_model import MaskedModel
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.model import open_model, open_painter


def run(given: argparse.Namespace, configs: Path) -> None:
    """Draw one figure, and say where it is."""
    print(write(DRAW[given.name](given, configs), given.out or _default_picture(given.name)))


def _default_picture(name: str) -> Path:
    return (
        Path(os.environ.get("MIM_RUNS", "runs"))
        / "figures"
        / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        / f"{name}.png"
    )


def _draw_ratio(given: argparse.Namespace, configs: Path) -> Drawn:
    found = find_runs(given.runs)
    runs = [run for run in found if run.status == "finished"]
    if not runs:
        raise ValueError(
            f"none of these {len(found)} run(s) is finished ({found[0].folder}: {found[0].status})"
        )
    series = sorted_into_series(runs, lambda run: run.mask_ratio()[0], given.names)
    drawn = ratio_figure(series, given.metric or common_accuracy(runs))
    left_out = len(found) - len(runs)
    return (
        drawn._replace(what=f"{drawn.what}; {left_out} unfinished left out") if left_out else drawn
    )


def _draw_epochs(given: argparse.Namespace, configs: Path) -> Drawn:
    runs = find_runs(given.runs)
    metrics = given.metric or _accuracy_and_loss(runs)
    return epochs_figure(sorted_into_series(runs, lambda run: None, given.names), metrics)


def _accuracy_and_loss(runs: list[Run]) -> list[str]:
    return [common_accuracy(runs), "train/loss"]


def _choice(given: argparse.Namespace) -> Choice:
    return Choice(given.images, given.rows, given.files, given.data)


def _draw_attention(given: argparse.Namespace, configs: Path) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    image, names = open_images(opened[0].weights, _choice(given), configs)
    maps = [attention_maps(*_shown(each, image), each.name, given.block) for each in opened]
    return attention_figure(image, names, maps, given.heads)


def _draw_pca(given: argparse.Namespace, configs: Path) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    image, names = open_images(opened[0].weights, _choice(given), configs)
    components = [patch_components(*_shown(each, image), each.name, given.block) for each in opened]
    return pca_figure(image, names, components)


def _shown(each: Opened, image: Tensor) -> tuple[Encoder, Tensor]:
    """An encoder in eval mode, and images (B, C, H, W) as it was trained on."""
    encoder = build_encoder(each.weights, (image.shape[2], image.shape[3])).eval()
    load_weights_into(each.weights, encoder)
    return encoder, batch_of(image, each.mean, each.std).image


def _draw_reconstructions(given: argparse.Namespace, configs: Path) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    masker = Masker(Random(), FixedRatio(given.ratio), given.cell)
    image, names = open_images(opened[0].weights, _choice(given), configs)
    models = {
        each.name: open_model(each.weights, masker, (image.shape[2], image.shape[3]))
        for each in opened
    }
    patch_sizes = {name: model.encoder.geometry.patch_size for name, model in models.items()}
    if len(set(patch_sizes.values())) > 1:
        said = ", ".join(f"{name} {by(size)}" for name, size in patch_sizes.items())
        raise ValueError(
            f"these checkpoints cannot be given the same masks: their patches are {said} pixels; "
            "draw them one by one"
        )
    made = {each.name: _reconstruct(each, models[each.name], image, given) for each in opened}
    return reconstructions_figure(image, names, made, given.seeds, next(iter(patch_sizes.values())))


def _reconstruct(
    each: Opened, model: MaskedModel, image: Tensor, given: argparse.Namespace
) -> Made:
    painter = open_painter(each.weights, model.encoder.geometry, given.target)
    return reconstruct(model, painter, image, each.mean, each.std, given.seeds)


DRAW: dict[str, Callable[[argparse.Namespace, Path], Drawn]] = {
    "ratio": _draw_ratio,
    "epochs": _draw_epochs,
    "attention": _draw_attention,
    "pca": _draw_pca,
    "reconstructions": _draw_reconstructions,
}
