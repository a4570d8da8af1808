from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.score.attention import Attention
from mim.masker.score.attmask import AttMask
from mim.masker.score.block import Block
from mim.masker.score.mst import MST
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from tests.slow import slow

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


@pytest.mark.parametrize(
    ("name", "score", "partition", "cell"),
    [
        ("sbm", Salience, FixedRatio, 1),
        ("sbam", Salience, AdaptiveRatio, 1),
        ("am", Attention, FixedRatio, 1),
        ("amt", Attention, ThrowMiddle, 1),
        ("amt_cell", Attention, ThrowMiddle, 2),
        ("attmask", AttMask, FixedRatio, 1),
        ("mst", MST, FixedRatio, 1),
    ],
)
def test_a_named_masker_is_a_score_and_a_partition(masker, name, score, partition, cell):
    built = masker(f"masker={name}")
    assert (type(built.score), type(built.partition), built.cell) == (score, partition, cell)


def test_published_settings(masker):
    assert masker("masker=amt").partition.counts(196) == (88, 78)
    assert masker("masker=amt_cell").partition.counts(49) == (22, 13)
    assert masker("masker=attmask").partition.rounding == "mask_down"
    assert masker("masker=sbm").score.noise == 0.5
    assert masker("masker=attmask", "masker/score=attmask_low").score.sign == -1
    assert masker("masker=attmask", "masker/score=attmask_hint").score.hint_ratio == 0.01


def test_pairs_that_have_no_name_are_built_from_their_parts(masker):
    built = masker(
        "masker/score=salience", "masker/partition=throw_middle", "masker.partition.throw=low"
    )
    assert (type(built.score), built.partition.throw) == (Salience, "low")


@pytest.mark.parametrize(
    "name", ["sbam", "amt_cell", *map(slow, ("random_cell", "attmask", "block"))]
)
def test_settings_of_a_partition_do_not_stick_to_another_one(masker, name):
    for partition in (path.stem for path in (CONFIGS / "masker" / "partition").glob("*.yaml")):
        masker(f"masker={name}", f"masker/partition={partition}")


def test_blocks_are_laid_for_what_any_partition_hides(masker):
    assert masker("masker=block", "masker/partition=throw_middle").score.ratio == 0.45
    assert (
        masker(
            "masker=block", "masker/partition=adaptive_ratio", "masker.partition.ratio=0.6"
        ).score.ratio
        == 0.6
    )


def test_a_schedule_wraps_any_two(masker):
    amt = masker("masker=scheduled")
    assert (type(amt.first.score), type(amt.then.score), amt.at_epoch) == (Random, Attention, 40)
    other = masker(
        "masker=scheduled",
        "masker@masker.first=block",
        "masker@masker.then=sbam",
        "masker.at_epoch=100",
    )
    assert (type(other.first.score), type(other.then.partition), other.at_epoch) == (
        Block,
        AdaptiveRatio,
        100,
    )


def test_what_amts_paper_and_its_release_do_differently_is_a_setting(masker):
    paper = masker("masker=scheduled")
    assert (paper.at_epoch, paper.then.score.store.heads) == (40, "mean_first")
    released = masker(
        "masker=scheduled", "masker.at_epoch=41", "masker.then.score.store.heads=stretch_first"
    )
    assert (released.at_epoch, released.then.score.store.heads) == (41, "stretch_first")


@pytest.mark.parametrize(("ratio", "cells"), [(0.6, 30), (0.44, 22), (0.33, 17)])
def test_amts_start_with_simmim_masks_as_many_cells_as_it_goes_on_with(masker, ratio, cells):
    start = masker(
        "masker=scheduled",
        "masker@masker.first=random_cell",
        "masker@masker.then=amt_cell",
        f"masker.first.partition.ratio={ratio}",
    ).first
    assert start.partition.masked_count(49) == cells


def test_attmask_as_released_draws_its_ratio_and_takes_hints_out(masker):
    for name, hints in (("attmask_release", 0.0), ("attmask_hint_release", 0.1)):
        partition = masker(f"masker={name}").partition
        assert (partition.ratio, partition.spread, partition.unmasked, partition.per) == (
            0.3,
            0.2,
            0.5,
            "batch",
        )
        assert partition.hints_from == hints
        assert partition.masked_range(196) == (19, 98)
