"""The experiments for a small budget: what the page says of them is what they are."""

import re
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import mim
from mim.batch import blank

PAGE = (Path(__file__).parents[2] / "docs" / "budget.md").read_text()
COUNTS = {"vit_base_one_gpu": (27, 85), "vit_small_one_day": (49, 74)}


def rows(name: str) -> dict[str, str]:
    """Setting -> value, as the page's table of an experiment has it."""
    section = PAGE.split(f"experiment=budget/{name}`")[1].split("\n## ")[0]
    found = re.findall(
        r"^\| `([\w.]+)` \| `?([^|`]+?)`? \| ([^|]+) \|$", section, flags=re.MULTILINE
    )
    assert all(source.strip() for _, _, source in found)
    return {setting: value for setting, value, _ in found}


@pytest.mark.parametrize("name", COUNTS)
def test_each_setting_of_the_page_is_the_experiments(name):
    cfg = mim.compose(f"experiment=budget/{name}", "hydra.run.dir=unused")
    table = rows(name)
    assert len(table) >= 9
    for setting, value in table.items():
        found = OmegaConf.select(cfg, setting)
        assert (
            type(found)(value) == found
            if not isinstance(found, bool)
            else str(found).lower() == value
        ), setting


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    "chosen", [[], ["optimizer=muon", "resolution=progressive"]], ids=["plain", "choices"]
)
def test_it_builds_and_hides_what_it_says(name, chosen):
    cfg = mim.compose(f"experiment=budget/{name}", *chosen, "hydra.run.dir=unused")
    with torch.device("meta"):
        task = instantiate(cfg.task)
        split = task.model(blank(2, (224, 224), "meta")).split
    visible, masked = COUNTS[name]
    assert (split.visible.shape[-1], split.masked.shape[-1]) == (visible, masked)
    assert (task.resolution is not None) == bool(chosen)
    if chosen:
        assert task.model.encoder.resize_offset == 0.0
        assert task.resolution.side(224) == 160
