"""The data set that a checkpoint was trained on: a proposal, which is taken where our own configs
have it or the user says so.
"""

from pathlib import Path
from typing import Protocol, cast

from omegaconf import OmegaConf

from mim.launch.check import check_config
from mim.plain import Settings, printable, settings_of
from mim.weights.settings import DATA, check_settings, class_of
from mim.weights.weights import Weights

LOCAL = ("root", "cache", "num_workers", "max_megapixels", "decoder")
"""Of a data set's settings, what belongs to a computer and not to a run."""


PLACES = ("root", "table", "name")
"""Where a data set is."""
SPLIT = ("_target_", "train", "val", "held_out", "seed", "split_column")
"""What decides, in one place, which of its pictures are held out."""


class OfOwn(Protocol):
    """Data set, as far as it knows its own mean; None where that has to be measured."""

    own_mean: tuple[float, ...] | None


def data_of_run(weights: Weights, changed: Settings, paths: Settings, configs: Path) -> Settings:
    """The `data` node of the run that wrote some weights, held against the signature of its class.

    Args:
        weights: of a run.
        changed: what the command line says of it.
        paths: where things are on this computer (configs/paths).
        configs: folder of the config tree.

    Raises:
        ValueError: where the file says nothing of its data, wants another folder than the one that
            is set here, or names anything but settings of ours.
    """
    own = (weights.config or {}).get("data")
    if own is None:
        raise ValueError(
            f"{weights.origin} does not say what it was trained on; choose where to judge it, e.g. "
            "data=cifar10"
        )
    own = check_settings(own, DATA, weights.origin, "data")
    known = cast(type[OfOwn], class_of(own["_target_"], DATA, weights.origin))
    if weights.images is not None and (known.own_mean is None or own.get("channels", 3) != 3):
        # what a run has measured is not measured again
        measured = {"mean": weights.images.mean, "std": weights.images.std}
        own |= {
            key: list(values) for key, values in measured.items() if own.get(key) in ("own", None)
        }
    name, here = _of_this_computer(own["_target_"], paths, configs)
    place = next((key for key in PLACES if own.get(key) is not None), None)
    if (
        place
        and not changed.keys() & {*PLACES}
        and not (place == "root" and _same(own["root"], here.get("root")))
    ):
        set_here = (
            f"the folder that is set here ({here.get('root')})" if here.get("root") else "set here"
        )
        raise ValueError(
            f"{weights.origin} was trained on data={name} in {printable(own[place])}, which is not "
            f"{set_here}; "
            f"a path out of a file is opened only where you say so: data=own data.{place}=... (in "
            f"evaluate +data.{place}=...), or choose another data="
        )
    for pattern in (
        own.get("train"),
        own.get("val"),
        None if "table" in changed else own.get("table"),
    ):
        if isinstance(pattern, str) and (".." in pattern or pattern.startswith("/")):
            raise ValueError(
                f"{weights.origin}: data looks for {printable(pattern)}, outside of its folder; "
                "choose data="
            )
    kept = {key: value for key, value in own.items() if key not in LOCAL} | here
    merged = settings_of(OmegaConf.merge(kept, changed))
    # first in the words for a command line, of which the change is
    check_config(OmegaConf.create({"data": merged}))
    return check_settings(merged, DATA, weights.origin, "data")


def is_trained_on(weights: Weights, images: Settings) -> bool:
    """Whether a `data` node is of what a run was trained on: the same place, split alike. Pictures
    that were not held out there are known to it.
    """
    own = (weights.config or {}).get("data")
    if not isinstance(own, dict):
        return False
    same_place = all(_same(own.get(key), images.get(key)) for key in PLACES)
    return same_place and all(own.get(key) == images.get(key) for key in SPLIT)


def _of_this_computer(target: str, paths: Settings, configs: Path) -> tuple[str, Settings]:
    """The name of our own config of a data set, and what it says of this computer."""
    for file in sorted((configs / "data").glob("*.yaml")):
        raw = settings_of(OmegaConf.load(file))
        if raw.get("_target_") == target:
            wired = OmegaConf.create(
                {"paths": paths, "data": {key: raw[key] for key in LOCAL if key in raw}}
            )
            return file.stem, settings_of(wired.data, resolve=True)
    raise ValueError(
        f"{target} has no file in {configs / 'data'}; choose where to judge it, e.g. data=cifar10"
    )


def _same(a: object, b: object) -> bool:
    return Path(str(a)).expanduser().absolute() == Path(str(b)).expanduser().absolute()
