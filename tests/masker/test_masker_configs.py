from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mim.masker.masker import Masker
from mim.masker.score.block import Block
from mim.masker.score.random import Random

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def masker(tmp_path):
    """Build the masker that a command line asks for."""
    top = f"hydra: {{searchpath: ['file://{CONFIGS}']}}\ndefaults: [{{masker: random}}, _self_]\n"
    (tmp_path / "top.yaml").write_text(top)

    def build(*overrides: str) -> Masker:
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return instantiate(compose("top", overrides=list(overrides)).masker)

    return build


def test_every_part_can_be_chosen_and_set(masker):
    assert isinstance(masker().score, Random)
    assert masker().partition.ratio == 0.75
    assert isinstance(masker("masker=block").score, Block)
    assert isinstance(masker("masker/score=block").score, Block)
    assert masker("masker.partition.ratio=0.5").partition.ratio == 0.5
    assert masker("masker.cell=2").cell == 2


def test_random_cells_are_simmims(masker):
    cells = masker("masker=random_cell")
    assert (cells.cell, cells.partition.ratio, cells.partition.rounding) == (2, 0.6, "mask_up")


def test_blocks_cover_what_the_partition_hides(masker):
    assert masker("masker=block", "masker.partition.ratio=0.4").score.ratio == 0.4
    assert masker("masker=block", "masker.score.ratio=0.3").score.ratio == 0.3
