"""Features of pictures of anyone's: `mim.features`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from omegaconf import OmegaConf
from torch import Tensor

from mim.data.module import Data
from mim.door.preprocess import Preprocess, with_statistics
from mim.door.source import Source
from mim.door.sources import source_of
from mim.encoder.encoder import Encoder
from mim.encoder.model import Model
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.image_format import ImageFormat
from mim.installed import CONFIGS
from mim.launch.check import nearest
from mim.plain import settings_of
from mim.pool.pool import Pool, Shape, fitted
from mim.weights.settings import POOL, build


class Embedder:
    """Embedder: normalised images to pooled tokens, or patch tokens, of one block of an encoder.

    Args:
        encoder: in any mode, on any device; its mode is as before afterwards.
        pool: a name of configs/pool, or a pool; one with weights of its own has to be trained.
        block: whose tokens are pooled, counted from 1; None for the last.
        patches: patch tokens instead, and nothing is pooled.
        norm: with the encoder's final norm.

    Raises:
        ValueError: where there is no such pool or block.
    """

    def __init__(
        self,
        encoder: Encoder,
        pool: str | Pool = "mean",
        block: int | None = None,
        patches: bool = False,
        norm: bool = True,
    ):
        chosen = (
            {}
            if patches
            else {"pool": fitted(pool_named(pool) if isinstance(pool, str) else pool, encoder)}
        )
        self.patches, self.extractor = patches, FeatureExtractor(encoder, chosen, block, norm)
        first = next(iter(encoder.parameters()))
        self.device, self.dtype = first.device, first.dtype

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """Images (B, 3, H, W), normalised -> (B, D'), or patch tokens (B, L, D): float32, on the
        CPU.
        """
        encoder = self.extractor.encoder
        was_training = encoder.training
        encoder.eval()
        try:
            tokens, pooled = self.extractor(image.to(self.device, self.dtype))
        finally:
            encoder.train(was_training)
        made = tokens[:, encoder.prefix :] if self.patches else pooled["pool"]
        return made.float().cpu()


@runtime_checkable
class _Loaded(Protocol):
    """Encoder that says how its pictures become images."""

    preprocess: Preprocess


def features(
    encoder: Encoder | Model,
    source: object,
    pool: str | Pool = "mean",
    block: int | None = None,
    patches: bool = False,
    *,
    norm: bool = True,
    batch_size: int = 64,
    part: Literal["held_out", "training"] = "held_out",
    workers: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Tensor:
    """Features of pictures, one row each, in their order: (N, D') float32 on the CPU.

    Args:
        encoder: of `mim.load`, or one that was built by hand, or a model that has one.
        source: a folder (in sorted order), a list of files, a tensor or an array (N, 3, H, W) or
            (N, H, W, 3) of uint8 or of floats in 0..1, or a data set of ours or of torchvision's
            kind. Pictures are resized and cut as `encoder.preprocess` does; tensors and arrays of
            the encoder's own size are taken as they are.
        pool: `mean`, `cls`, `cls_mean`, `max`, or any other of configs/pool without weights of its
            own; or a pool.
        block: whose tokens, counted from 1; None for the last.
        patches: all patch tokens instead, (N, L, D), rows of the grid one after another.
        norm: with the encoder's final norm.
        batch_size: images at a time.
        part: of a data set of ours.
        workers: processes that decode files; None for one for each core.
        mean, std: normalisation of three channels, where the encoder does not say it.

    Raises:
        FileNotFoundError: where there is no such file, or no picture in the folder.
        ValueError: where a picture cannot be read, or is none; or a checkpoint is named that
            `mim.load` has to open.
    """
    if isinstance(encoder, str | Path):
        raise ValueError(
            f"features are made by an encoder; open this one: mim.load({str(encoder)!r})"
        )
    encoder = encoder.encoder if isinstance(encoder, Model) else encoder
    extract = Embedder(encoder, pool, block, patches, norm)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}; needs 1 at least")
    images = source_of(source, preprocess_of(encoder, source, mean, std), part, workers)
    if len(images) == 0:
        raise ValueError("there are no pictures in the source; give one at least")
    made = []
    for some, (number, image) in zip(
        torch.arange(len(images)).split(batch_size),
        images.batches(torch.arange(len(images)), batch_size),
        strict=True,
    ):
        _refuse_unread(images, some, number)
        made.append(extract(image))
    return torch.cat(made)


def preprocess_of(
    encoder: Encoder,
    source: object = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Preprocess:
    """Preprocessing of an encoder: its own, that of a data set of ours, or with the statistics that
    are given.

    Raises:
        ValueError: where nothing says how images are normalised.
    """
    images = encoder.preprocess.images if isinstance(encoder, _Loaded) else None
    if images is None and isinstance(source, Data):
        images = ImageFormat.of_data(source, classes=False)
    if images is None and (mean is None or std is None):
        raise ValueError(
            f"this {type(encoder).__name__} does not say how its images are normalised; give mean= "
            "and std=, of pixels in 0..1, "
            "or an encoder of mim.load"
        )
    return Preprocess(encoder.geometry.image_size, with_statistics(images, mean, std))


LEARNED = ("abmilp", "attentive", "attentive_cae", "ep", "oracle", "simpool")
"""Pools that a file of weights does not make: those that have some, and one that has an encoder."""


def pool_named(name: str) -> Pool | Callable[[Shape], Pool]:
    """A pool by its name in configs/pool, or what builds it for an encoder.

    Raises:
        ValueError: where there is none of that name, or it has weights that have to be learned.
    """
    names = sorted(file.stem for file in (CONFIGS / "pool").glob("*.yaml"))
    learned = [each for each in names if each in LEARNED]
    if name in learned:
        what = (
            "another encoder"
            if name == "oracle"
            else "weights of its own, which have to be learned"
        )
        raise ValueError(
            f"pool={name} needs {what}: judge it with python eval.py evaluate=probe pool={name}, "
            "or give a pool"
        )
    if name not in names:
        raise ValueError(
            f"pool={name} is not a choice; "
            f"{nearest(name, [each for each in names if each not in learned])}"
        )
    settings = settings_of(OmegaConf.load(CONFIGS / "pool" / f"{name}.yaml"), resolve=True)
    return build(settings, POOL, f"configs/pool/{name}.yaml", "pool")


def _refuse_unread(images: Source, asked: Tensor, number: Tensor) -> None:
    missing = sorted(set(asked.tolist()) - set(number.tolist()))
    if missing:
        raise ValueError(f"{images.path(missing[0])} is no picture that can be read; leave it out")
