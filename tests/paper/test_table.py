"""The papers' tables: their form, their words in Markdown, and that every command of theirs is one
that runs.
"""

import re
import shlex
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from mim.masker.score.ranking import Ranking
from mim.paper.command import settings
from mim.paper.ledger import papers, read_recipes
from mim.paper.markdown import markdown
from mim.paper.row import RUN
from mim.paper.table import HERE, names, read
from tests.slow import slow

CONFIGS = Path(__file__).parents[2] / "configs"
OURS = {
    *("simmim/cifar10_vit_pico", "simmim/digits_beit_pico", "own/continue", "sbam/imagenet_sbm"),
    *("cmae/imagenet_vit_base_800", "dino/imagenet_vit_small", "pixio/imagenet_vit_huge"),
    "budget/vit_base_one_gpu",
    "budget/vit_small_one_day",
    "supervised/mae_vit_small",
    "supervised/deit_vit_large",
}
"""Experiments of no table, or without a number in it."""

SMALL = """
title: A paper
source: arXiv 0000.00000
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged:
      linear: eval.py evaluate=probe_mae evaluate.epochs={epochs}
      fine-tuning: train.py experiment=mae/finetune_vit_base
      AP: {reason: no detector}
    rows:
      - trained: short
        by: train.py experiment=mae/imagenet_vit_base epochs=1
        where: {epochs: 3}
        published: {linear: 60.0, fine-tuning: 80.0}
        measured:
          linear: {value: 61.25, interval: [60.9, 61.6], commands: [a, b], commit: abc1234,
              hardware: 8 GPUs, seed: 3}
      - trained: public
        by: timm:vit_base_patch16_224.mae
        where: {epochs: 90}
        published: {linear: 67.8, AP: 50.25}
      - trained: elsewhere
        reason: not here yet
        note: Another prints 70.0.
        published: {linear: 70.1, fine-tuning: 81}
      - trained: half
        by: train.py experiment=mae/imagenet_vit_base epochs=2
        where: {epochs: 1}
        reasons: {linear: nobody knows how}
        published: {linear: 1, fine-tuning: 2}
"""


def small(tmp_path, old="", new=""):
    assert old in SMALL
    file = tmp_path / "small.yaml"
    file.write_text(SMALL.replace(old, new) if old else SMALL)
    return read(file)


def commands(bench: bool = False) -> set[str]:
    papers = [read(HERE / f"{name}.yaml") for name in names()]
    tables = [table.at_bench() if bench else table for paper in papers for table in paper.tables]
    tables = [table for table in tables if table]
    trains = {row.command for table in tables for row in table.rows if row.command}
    return trains | {cell.command for table in tables for cell in table.cells() if cell.command}


TYPED = commands() | commands(bench=True) | {f"python train.py experiment={name}" for name in OURS}
# these are composed and checked, and held against what their papers say, in tests/recipes
RECIPES = [recipe for paper in papers() for recipe in read_recipes(paper).values()]
OF_RECIPES = {f"python {r.command}" for r in RECIPES if r.command and r.kind != "linear_probe"}


def shape(command: str) -> str:
    """What commands have in common that give the same settings other values."""
    choices = ("experiment=", "evaluate=", "task=", "model=", "masker=")
    words = shlex.split(command)
    return shlex.join(w if w.startswith(choices) else w.partition("=")[0] for w in words)


def quick_and_slow() -> list:
    """Of each shape the first command; `make slow` has the others."""
    by_shape: dict[str, list[str]] = {}
    for command in sorted(TYPED - OF_RECIPES):
        by_shape.setdefault(shape(command), []).append(command)
    return [each for first, *others in by_shape.values() for each in (first, *map(slow, others))]


@pytest.mark.parametrize("command", quick_and_slow())
def test_every_command_of_every_table_composes_and_passes_the_check(composed_command, command):
    composed_command(command.replace(RUN, "run"))


def test_every_experiment_is_in_a_table():
    named = {
        word.removeprefix("experiment=")
        for command in commands()
        for word in command.split()
        if "=" in word
    }
    files = CONFIGS.glob("experiment/**/*.yaml")
    experiments = {str(path.relative_to(CONFIGS / "experiment").with_suffix("")) for path in files}
    assert experiments - named == OURS


@pytest.mark.parametrize(
    ("command", "masked", "thrown"),
    [
        ("train.py experiment=amt/imagenet_mae_random", 147, 0),
        ("train.py experiment=amt/imagenet_mae_am", 147, 0),
        ("train.py experiment=amt/imagenet_mae_amt", 88, 78),
        ("train.py experiment=amt/ablation_random_thrown", 88, 78),
        ("train.py experiment=amt/ablation_few_thrown", 147, 19),
        ("train.py experiment=amt/ablation_low_thrown", 88, 78),
        ("train.py experiment=amt/imagenet_simmim_random", 30, 0),  # of 49 cells
        ("train.py experiment=amt/imagenet_simmim_am", 30, 0),
        ("train.py experiment=amt/imagenet_simmim_amt", 22, 13),
        ("train.py experiment=amt/imagenet_simmim_amt_half", 17, 25),
    ],
)
def test_rows_of_amt_hide_and_throw_what_the_paper_says(composed_command, command, masked, thrown):
    masker = composed_command(command).masker
    masker = masker.get("then", masker)
    patches = 196 // masker.cell**2
    split = instantiate(masker.partition)(Ranking(torch.rand(1, patches), torch.rand(1, patches)))
    visible = split.visible.shape[-1]
    assert (split.masked.shape[-1], patches - split.masked.shape[-1] - visible) == (masked, thrown)


def test_markdown_has_published_measured_difference_and_what_made_it(tmp_path):
    text = markdown(small(tmp_path))
    assert "## A paper (arXiv 0000.00000)" in text
    assert "| short | linear | 60.0 | 61.2 (60.9 to 61.6) | +1.2 |  |" in text
    assert "| short | fine-tuning | 80.0 | not measured |  |  |" in text
    assert "| public | linear | 67.8 | not measured |  |  |" in text
    assert (
        "- short, linear, 61.2 (60.9 to 61.6): `a`, then `b`; commit abc1234, seed 3, 8 GPUs"
        in text
    )


def test_a_number_without_a_command_says_why_and_a_note_stands_beside_its_row(tmp_path):
    text = markdown(small(tmp_path))
    assert "| public | AP | 50.25 | no command |  |  |" in text
    assert "| elsewhere | linear | 70.1 | no command |  | Another prints 70.0. |" in text
    assert "| elsewhere | fine-tuning | 81.0 | no command |  |  |" in text
    assert text.endswith(
        "- No command for public (AP): no detector.\n- No command for elsewhere: not here yet.\n"
        "- No command for half (linear): nobody knows how."
    )


def test_several_seeds_are_said(tmp_path):
    text = markdown(small(tmp_path, "seed: 3}", "seed: [3, 4]}"))
    assert "commit abc1234, mean of seeds 3, 4, 8 GPUs" in text


def test_markdown_has_the_command_of_each_row_and_judge(tmp_path):
    lines = [
        line.strip() for line in markdown(small(tmp_path)).splitlines() if line.startswith("    ")
    ]
    found = dict(re.split(r"  +", line) for line in lines)
    assert found == {
        "short": "python train.py experiment=mae/imagenet_vit_base epochs=1",
        "short, linear": "python eval.py evaluate=probe_mae evaluate.epochs=3 checkpoint=<its run>",
        "half": "python train.py experiment=mae/imagenet_vit_base epochs=2",
        "public, linear": "python eval.py evaluate=probe_mae evaluate.epochs=90 "
        "checkpoint=timm:vit_base_patch16_224.mae",
        "fine-tuning": "python train.py experiment=mae/finetune_vit_base checkpoint=<its run>",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{linear: 67.8, ",
            "{lin: 67.8, ",
            "small.yaml, tables.0: Table 1: public is judged by 'lin'; allowed: linear, fine-",
        ),
        (
            "by: timm:vit_base_patch16_224.mae",
            "",
            "small.yaml, tables.0.rows.1: public has to say `by` (a command, or",
        ),
        (
            "reason: not here yet",
            "reason: a\n        by: b",
            "small.yaml, tables.0.rows.2: elsewhere has to say",
        ),
        (
            "reasons: {linear",
            "reasons: {lin",
            "small.yaml, tables.0: Table 1: half is judged by 'lin'; allowed: lin",
        ),
        ("source: arXiv 0000.00000", "", "small.yaml, source: Field required"),
        ("about: Top", "abuot: Top", "small.yaml, tables.0.about: Field required"),
        (", seed: 3", "", "small.yaml, tables.0.rows.0.measured.linear.seed: Field required"),
        (
            "linear: 60.0",
            "linear: sixty",
            "small.yaml, tables.0.rows.0.published.linear: Input should be a valid number",
        ),
        (
            "where: {epochs: 90}",
            "",
            "small.yaml, tables.0: Table 1: public has nothing in `where` for 'epochs'",
        ),
    ],
)
def test_what_a_table_cannot_say_is_refused_with_its_place(tmp_path, old, new, message):
    with pytest.raises(ValueError, match=r"small\.yaml") as refusal:
        small(tmp_path, old, new)
    assert str(refusal.value).startswith(message)


def test_no_command_repeats_the_epochs_of_its_experiment():
    """A run that leaves them to the experiment would not be found to be that of the row."""
    pretrained = [
        row.by
        for name in names()
        for table in read(HERE / f"{name}.yaml").tables
        for row in table.rows
        if row.by
    ]
    said: dict[str, set[str]] = {}
    for command in pretrained:
        if "epochs=" in command and "experiment=" in command:
            given = settings(shlex.split(command)[1:])
            said.setdefault(given["experiment"], set()).add(given.get("epochs"))
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for experiment, epochs in said.items():
            own = compose("train", [f"experiment={experiment}"]).epochs
            assert str(own) not in epochs, experiment
