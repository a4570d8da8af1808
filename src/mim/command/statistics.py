"""`python -m mim statistics`: what it does once its command line is read."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shlex import quote

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mim.data.inspection import Inspected, Inspection, inspect
from mim.data.module import Data
from mim.data.proposed_size import ProposedSize, proposed_size
from mim.geometry import pair
from mim.launch.check import check_config
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from mim.plain import printable


def run(given: argparse.Namespace, configs: Path) -> None:
    """Inspect, and say what was found and what to type.

    Raises:
        ValueError: where nothing can be read, or a channel is the same in every pixel.
    """
    settings = settings_of(given.pictures)
    data = build_data(settings, configs)
    found = _inspect(data, given.images)
    for name, text in described(found, given.paths):
        print(f"{name:<14}{text}")
    if not found.read:
        raise ValueError(f"none of {len(found.pictures):,} pictures can be read")
    said = [setting.partition("=")[0] for setting in settings]
    proposed = found.proposed()
    size = proposed_size([each.size for each in found.read if each.format])
    if size and "data.image_size" not in said:
        proposed["image_size"] = size.image if isinstance(size.image, int) else [*size.image]
    if 0 < data.train_size < data.batch_size:
        proposed["batch_size"] = max(1, data.train_size // 4)
    more = [
        f"data.{name}={_typed(value)}"
        for name, value in proposed.items()
        if f"data.{name}" not in said
    ]
    others = _beside_image_size(size) if size and "image_size" in proposed else []
    measured = build_data([*settings, *more, "data.mean=own", "data.std=own"], configs)
    found_here = {"mean": measured.mean, "std": measured.std}
    statistics = [f"data.{name}={_typed(_rounded(values))}" for name, values in found_here.items()]
    print(
        f"{'mean':<14}{_typed(_rounded(measured.mean))}, deviation "
        f"{_typed(_rounded(measured.std))}, as a network sees them"
    )
    print(
        f"{'to type':<14}python -m mim train "
        f"{' '.join(map(quote, [*settings, *more, *statistics, *others]))}"
    )


def _beside_image_size(size: ProposedSize) -> list[str]:
    """Settings that go with a small image size: patches, and of oblong images crops of their
    shape, which would be stretched otherwise.
    """
    (height, width), patch = pair(size.image), f"encoder.patch_size={size.patch}"
    if height == width:
        return [patch]
    ratio = [round(each * width / height, 2) for each in (3 / 4, 4 / 3)]
    return [f"data.augment.boxes.ratio={_typed(ratio)}", patch]


def settings_of(asked: Sequence[str]) -> list[str]:
    """Settings of a data set, of a folder where one is given."""
    if len(asked) == 1 and not asked[0].startswith(("data=", "data.")):
        return ["data=image_folder", f"data.root={asked[0]}"]
    if not asked[0].startswith("data=") or not all(each.startswith("data.") for each in asked[1:]):
        raise ValueError(
            f"{' '.join(asked)}: give a folder, or data=<name> and settings of it, data.root=..."
        )
    return list(asked)


def build_data(settings: Sequence[str], configs: Path) -> Data:
    """A data set, ready.

    Raises:
        ValueError: where a setting is none of it.
    """
    register_resolvers()
    with initialize_config_dir(str(configs), version_base="1.3"):
        node = compose("gallery", quoted(settings)).data
    check_config(OmegaConf.create({"data": OmegaConf.to_container(node, resolve=True)}))
    data: Data = instantiate(node)
    data.setup()
    return data


def _inspect(data: Data, limit: int | None) -> Inspection:
    counts = [min(len(each), limit or len(each)) for each in (data.splits.train, data.splits.val)]
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    quiet = not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("look", total=sum(counts))
        return inspect(data.splits, limit, lambda done: bar.update(task, completed=done))


def described(found: Inspection, paths: int = 5) -> Iterator[tuple[str, str]]:
    """Lines about pictures, by subject.

    Args:
        found: what was seen of each.
        paths: at most so many are named of each kind.
    """
    training = sum(each.training for each in found.pictures)
    yield (
        "pictures",
        f"{len(found.pictures):,}: {training:,} for training, {len(found.pictures) - training:,} "
        "held out",
    )
    if found.read:
        yield (
            "formats",
            _counted(found, lambda each: f"{each.format or 'in memory'} of {each.type}"),
        )
        yield "channels", _counted(found, lambda each: f"{each.channels}")
        sides = np.array([each.size for each in found.read])
        short, long = np.sort(sides, axis=1).T
        yield "short side", _spread(short)
        yield "long side", _spread(long)
        yield "height/width", _spread(sides[:, 0] / sides[:, 1])
    if ends := found.range():
        low, high = found.percentiles()
        yield (
            "values",
            f"{ends[0]:g} to {ends[1]:g}; all but one in a thousand from {low:g}, and to {high:g}",
        )
        if shown := sum(each.says_range for each in found.read):
            yield "", f"black and white as their files say ({shown:,}); data.range= comes before it"
    yield (
        "broken",
        _listed([f"{printable(each.path)}: {each.broken}" for each in found.broken], paths),
    )
    groups = found.duplicates()
    across = [group for group in groups if len({each.training for each in group}) > 1]
    yield "duplicates", _groups(groups, paths)
    if across:
        yield (
            "",
            f"{len(across):,} group(s) are both trained on and held out, such as "
            f"{_same(across[0])}",
        )


def _counted(found: Inspection, what: Callable[[Inspected], object]) -> str:
    kinds = found.counts(what)
    return ", ".join(f"{name} ({count:,})" for name, count in kinds[:8]) + (
        ", ..." if len(kinds) > 8 else ""
    )


def _spread(values: "np.ndarray") -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{low:.4g} to {high:.4g}, the middle {middle:.4g}"


def _listed(lines: Sequence[str], most: int) -> str:
    if not lines:
        return "none"
    more = f"\n{'':<14}and {len(lines) - most:,} more" if len(lines) > most else ""
    return f"{len(lines):,}\n" + "\n".join(f"{'':<14}{line}" for line in lines[:most]) + more


def _groups(groups: Sequence[Sequence[Inspected]], most: int) -> str:
    if not groups:
        return "none"
    surplus = sum(len(group) - 1 for group in groups)
    lines = _listed([_same(group) for group in groups], most)
    return f"{surplus:,} picture(s) have the values of another, in groups: {lines}"


def _same(group: Sequence[Inspected]) -> str:
    return " = ".join(printable(each.path, 120) for each in group[:3]) + (
        " = .." if len(group) > 3 else ""
    )


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _typed(value: object) -> str:
    return str(value).replace(" ", "")
