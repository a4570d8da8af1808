"""Deviations: where an experiment is meant to differ from its source, and why (`recipes/<paper>.yaml`)."""

from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from mim.paper.table import HERE


class Deviation(NamedTuple):
    """One setting of an experiment that is not its source's."""

    field: str
    """Name of the setting in the ledger, e.g. `lr.min`."""
    source: str
    """What the source has."""
    ours: str
    """What the experiment has."""
    reason: str


def deviations(folder: Path = HERE / "recipes") -> dict[str, list[Deviation]]:
    """By experiment, the `deviations:` of all ledgers in a folder; empty where there is no such folder.

    Raises:
        ValueError: naming the ledger and the experiment where a deviation lacks one of its fields.
    """
    found: dict[str, list[Deviation]] = {}
    for file in sorted(folder.glob("*.yaml")):
        ledger: Any = OmegaConf.to_container(OmegaConf.load(file))
        for experiment in ledger.get("experiments", []):
            for said in experiment.get("deviations") or []:
                lacks = [field for field in Deviation._fields if field not in said]
                if lacks:
                    raise ValueError(
                        f"{file.name}, {experiment['name']}: a deviation lacks {lacks[0]}; it has {', '.join(said)} "
                        f"and needs {', '.join(Deviation._fields)}"
                    )
                plain = (_plain(said[field]) for field in Deviation._fields)
                found.setdefault(experiment["name"], []).append(Deviation(*plain))
    return found


def _plain(value: Any) -> str:
    return "none" if value is None else str(value)
