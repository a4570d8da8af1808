"""Figures of checkpoints, as `python -m mim figure` draws them."""

import argparse
from pathlib import Path

from torch import Tensor

from mim.encoder.encoder import Encoder
from mim.figure.attention import attention_figure, attention_maps
from mim.figure.images import batch_of
from mim.figure.opened import Choice, Opened, open_checkpoints, open_images
from mim.figure.pca import patch_components, pca_figure
from mim.figure.reconstructions import Made, reconstruct, reconstructions_figure
from mim.figure.table import Drawn
from mim.geometry import by
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.masked_model import MaskedModel
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.model import open_model, open_painter


def _choice(given: argparse.Namespace) -> Choice:
    return Choice(given.images, given.rows, given.files, given.data)


def draw_attention(given: argparse.Namespace, configs: Path) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    image, names = open_images(opened[0].weights, _choice(given), configs)
    maps = [attention_maps(*_shown(each, image), each.name, given.block) for each in opened]
    return attention_figure(image, names, maps, given.heads)


def draw_pca(given: argparse.Namespace, configs: Path) -> Drawn:
    opened = open_checkpoints(given.checkpoints, given.names, given.encoder)
    image, names = open_images(opened[0].weights, _choice(given), configs)
    components = [patch_components(*_shown(each, image), each.name, given.block) for each in opened]
    return pca_figure(image, names, components)


def _shown(each: Opened, image: Tensor) -> tuple[Encoder, Tensor]:
    """An encoder in eval mode, and images (B, C, H, W) as it was trained on."""
    encoder = build_encoder(each.weights, (image.shape[2], image.shape[3])).eval()
    load_weights_into(each.weights, encoder)
    return encoder, batch_of(image, each.mean, each.std).image


def draw_reconstructions(given: argparse.Namespace, configs: Path) -> Drawn:
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
