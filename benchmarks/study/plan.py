"""Plan of a study: arms, claims and one size, read from plan.yaml and refused where they do not
fit together.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

PLAN = Path(__file__).with_name("plan.yaml")
BASE = "random"
"""The arm whose operations are those of equal compute."""

At = Literal["epochs", "compute"]
"""What two arms have alike: passes over the images, or floating-point operations."""


class Finetune(NamedTuple):
    """Fine-tuning of what a training leaves, the same for every arm."""

    epochs: int
    warmup_epochs: int
    rate: float
    """`base_lr`, one for all arms."""
    at: list[At]
    """Which trainings are fine-tuned."""


class Size(NamedTuple):
    """Size of the study: how much every arm is given."""

    says: str
    images: int
    tune: int
    test: int
    epochs: int
    rates: list[float]
    seeds: list[int]
    tuning_seeds: list[int]
    common: list[str]
    finetune: Finetune
    at: Sequence[At] = ("epochs", "compute")
    """What arms are compared at."""


class Arm(NamedTuple):
    """Way to train."""

    says: str
    settings: list[str]
    looks: float | None = None
    """Share of the training after which attention decides, and again after as much; null where it
    never does.
    """


class Claim(NamedTuple):
    """Statement of a paper about two arms, or about two pools of one."""

    name: str
    says: str
    source: str
    better: str
    than: str
    kind: Literal["better", "not_worse"] = "better"
    margin: float = 0.0
    """Points that `not_worse` allows."""
    arm: str | None = None
    """Whose pools are compared; null where arms are."""
    judged: list[str] | None = None
    """Judges of the paper's own tables; null where it has none that are here, or claims nothing."""


class Plan(NamedTuple):
    """Plan of a study of one size.

    Attributes:
        file: that it was read from.
        page: that is written from it, in docs/.
        title: of that page.
        about: what stands under it.
    """

    file: Path
    page: str
    title: str
    about: str
    size: Size
    arms: Mapping[str, Arm]
    claims: list[Claim]
    judges: Mapping[str, str]
    pools: list[str]


def read_plan(size: str, file: Path = PLAN) -> Plan:
    """Plan of a size; what a file leaves out, of the plan or of a size, is that of the file that it
    says it is `like`.

    Raises:
        ValueError: where there is no such size, or a claim names what is not there.
    """
    raw = yaml.safe_load(file.read_text())
    if "like" in raw:
        base = yaml.safe_load(file.with_name(raw["like"]).read_text())
        changed = {
            name: base["sizes"].get(name, {}) | size for name, size in raw.get("sizes", {}).items()
        }
        raw = base | raw | {"sizes": base["sizes"] | changed}
    if size not in raw["sizes"]:
        raise ValueError(f"--size {size} is none; there are: {', '.join(raw['sizes'])}")
    arms = {name: Arm(**arm) for name, arm in raw["arms"].items()}
    claims = [Claim(**claim) for claim in raw["claims"]]
    for claim in claims:
        known = raw["pools"] if claim.arm else arms
        wanted = [claim.arm] * (claim.arm is not None)
        for name, among in [
            (claim.better, known),
            (claim.than, known),
            *((arm, arms) for arm in wanted),
        ]:
            if name not in among:
                raise ValueError(f"claim {claim.name} names {name}; there are: {', '.join(among)}")
        for judge in claim.judged or []:
            if judge not in raw["judges"].values():
                there = ", ".join(raw["judges"].values())
                raise ValueError(f"claim {claim.name} is judged by {judge}; there are: {there}")
    names = [claim.name for claim in claims]
    if len(set(names)) != len(names):
        raise ValueError("two claims have one name")
    chosen = raw["sizes"][size]
    given = Size(**chosen | {"finetune": Finetune(**chosen["finetune"])})
    told = [raw[name] for name in ("page", "title", "about")]
    return Plan(file, *told, given, arms, claims, raw["judges"], raw["pools"])


def wanted_arms(plan: Plan) -> list[str]:
    """Arms that claims need, in the order in which claims need them."""
    found: dict[str, None] = {}
    for claim in plan.claims:
        found |= dict.fromkeys([claim.arm] if claim.arm else [claim.better, claim.than])
    return list(found)


def compared_arms(plan: Plan) -> list[str]:
    """Arms that a claim holds against another arm, in the order of claims."""
    found: dict[str, None] = {}
    for claim in plan.claims:
        if claim.arm is None:
            found |= dict.fromkeys([claim.better, claim.than])
    return list(found)
