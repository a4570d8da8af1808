"""Checkpoints and the images that a figure shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mim.analysis.names import display_name, short_names, told_apart
from mim.data.module import Data
from mim.figure.images import Images, held_out, read_files
from mim.launch.check import check_config
from mim.launch.quoting import quoted, values_of
from mim.launch.resolvers import register_resolvers
from mim.plain import settings_of
from mim.weights.build import encoder_config
from mim.weights.images import image_format
from mim.weights.own_data import data_of_run
from mim.weights.read import read_weights
from mim.weights.settings import DATA, build
from mim.weights.weights import Weights


class Opened(NamedTuple):
    """A checkpoint that has been read, and how images are normalised for it."""

    name: str
    weights: Weights
    mean: Sequence[float]
    std: Sequence[float]


class Choice(NamedTuple):
    """Choice of the images of a figure: held-out ones of the data set, or files."""

    images: int
    """How many held-out ones, evenly spread, where neither rows nor files are given."""
    rows: list[int] | None = None
    """Numbers of held-out ones."""
    files: list[Path] | None = None
    """Pictures instead."""
    data: list[str] | None = None
    """A data set and settings of it, `["cifar10", "root=/elsewhere"]`, or settings alone, of the
    first checkpoint's own one.
    """


def open_checkpoints(
    sources: Sequence[str], names: Sequence[str] | None, own_encoder: str | None = None
) -> list[Opened]:
    """Read checkpoints, each given once.

    Args:
        sources: as `checkpoint=` takes them.
        names: what the figure calls them; None for what tells their runs apart, or their files
            where that does not.
        own_encoder: a class of the user's own that they may be of.

    Raises:
        ValueError: where it is not one name a checkpoint, or one cannot be read.
    """
    if len(set(sources)) != len(sources):
        raise ValueError(
            f"{max(sources, key=list(sources).count)} is given twice; give each checkpoint once"
        )
    weights = [read_weights(source)._replace(own_encoder=own_encoder) for source in sources]
    called = list(names) if names else _names(sources, weights)
    if len(set(called)) != len(sources):
        raise ValueError(
            f"--names={' '.join(called)} for {len(sources)} checkpoint(s); give each one a name of "
            "its own"
        )
    return [_with_statistics(name, each) for name, each in zip(called, weights, strict=True)]


def _names(sources: Sequence[str], weights: Sequence[Weights]) -> list[str]:
    """Those of the runs, or of the files, without the words that all share."""
    runs = [str((each.config or {}).get("name", "")) for each in weights]
    long = (
        [display_name(run) for run in runs]
        if all(runs) and len(set(runs)) == len(runs)
        else short_names(sources)
    )
    return told_apart(long)


def _with_statistics(name: str, weights: Weights) -> Opened:
    """Mean and deviation of the data that weights were trained on; ImageNet's where they do not
    say.
    """
    images = image_format(weights)
    return Opened(name, weights, images.mean, images.std)


def open_images(first: Weights, choice: Choice, configs: Path) -> Images:
    """The images that are wanted, of the size that the first checkpoint was trained on, or that the
    data set says.

    Raises:
        ValueError: where nothing says which data set.
    """
    if choice.files:
        config = encoder_config(first)
        range = image_format(first).range
        return read_files(choice.files, config["image_size"], config.get("channels", 3), range)
    return held_out(open_data(first, choice.data or [], configs), choice.images, choice.rows)


def open_data(first: Weights, asked: Sequence[str], configs: Path) -> Data:
    """The data set that is asked for, or that of the checkpoint's run with what is changed of it.

    Args:
        first: weights, of a run where the data set is its own.
        asked: `["cifar10", "root=/elsewhere"]`, or `["root=/elsewhere"]` alone.
        configs: folder of the config tree.

    Raises:
        ValueError: where nothing says which data set, or a setting is none of it.
    """
    named = bool(asked) and "=" not in asked[0]
    register_resolvers()
    with initialize_config_dir(str(configs), version_base="1.3"):
        cfg = compose(
            "gallery",
            quoted([f"data={asked[0]}", *(f"data.{one}" for one in asked[1:])]) if named else [],
        )
    if named:
        check_config(OmegaConf.create({"data": settings_of(cfg.data, resolve=True)}))
        return instantiate(cfg.data)
    if "data" not in (first.config or {}):
        raise ValueError(
            f"{first.origin} does not say what it was trained on; choose images: --files a.jpg "
            "b.jpg, or --data cifar10"
        )
    # as for eval.py, too
    changed = values_of([one.removeprefix("+").removeprefix("data.") for one in asked])
    paths = {"data": cfg.paths.data, "runs": cfg.paths.runs, "cache": cfg.paths.cache}
    return build(data_of_run(first, changed, paths, configs), DATA, first.origin, "data")
