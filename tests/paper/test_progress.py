"""Which rows of a table have finished runs, what they measured, and which commands are missing."""

import json
import os
from pathlib import Path

import pytest

from mim.paper.markdown import markdown
from mim.paper.progress import PaperProgress
from mim.paper.records import find_records
from mim.paper.table import Paper, read

TABLE = """
title: A paper
source: here
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged:
      linear: eval.py evaluate=probe_mae pool=cls data=imagenet
      fine-tuning: train.py experiment=mae/finetune_vit_base
      cost: {reason: none}
    rows:
      - {trained: MAE, by: train.py experiment=mae/a epochs=3, published: {linear: 60.0,
         fine-tuning: 80.0, cost: 1}}
      - {trained: AMT, by: train.py experiment=amt/a, published: {linear: 61.0}}
      - {trained: public, by: "timm:vit", published: {linear: 62.0}}
      - {trained: none, reason: not here, published: {linear: 63.0}}
  - name: Table 2
    about: The same again.
    judged: {linear: eval.py evaluate=probe_mae pool=cls data=imagenet}
    rows: [{trained: the MAE, by: train.py experiment=mae/a epochs=3, published: {linear: 60.0}}]
"""


class Runs:
    """A folder of runs, each written at a time of its own."""

    def __init__(self, root: Path):
        self.root, self.count = root, 0
        root.mkdir()

    def __call__(self, name: str, command: str, **results) -> Path:
        program, *overrides = command.split()
        folder = self.root / name
        folder.mkdir(parents=True)
        made = {
            "program": program,
            "overrides": overrides,
            "commit": "abc",
            "hardware": "a GPU",
            "seed": 0,
        }
        (folder / "results.json").write_text(
            json.dumps({"status": "finished", "images_per_step": 512} | made | results)
        )
        self.count += 1
        os.utime(folder / "results.json", (self.count, self.count))
        return folder

    def train(self, name: str, command: str, **results) -> Path:
        return self(name, f"train.py {command}", **results)

    def probe(
        self, name: str, checkpoint: str | Path, top1: float, more: str = "", **results
    ) -> Path:
        numbers = {
            "evaluate": "probe_mae",
            "probe_mae/top1": top1,
            "probe_mae/top1_interval": [top1 - 0.01, top1 + 0.01],
        }
        command = f"eval.py evaluate=probe_mae pool=cls data=imagenet checkpoint={checkpoint}{more}"
        return self(name, command, **(numbers | results))


@pytest.fixture
def runs(tmp_path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def paper(tmp_path) -> Paper:
    file = tmp_path / "paper.yaml"
    file.write_text(TABLE)
    return read(file)


def progress(paper, runs, *seeds: int) -> PaperProgress:
    return PaperProgress(paper, find_records(runs.root), seeds or (0,))


def commands(of: PaperProgress) -> list[str]:
    return [job.command for job in of.missing()]


PROBE = "python eval.py evaluate=probe_mae pool=cls data=imagenet"
FINETUNE = "python train.py experiment=mae/finetune_vit_base"


SEVERAL = """
title: A paper
source: here
tables:
  - name: Table 3
    about: Average precision in per cent.
    judged:
      box AP: {by: &detect train.py experiment=a/detect, number: val/box_ap}
      mask AP: {by: *detect, number: val/mask_ap}
    rows:
      - {trained: random, by: "null", published: {box AP: 20.0, mask AP: 10.0}}
      - {trained: MAE, by: train.py experiment=mae/a, published: {box AP: 50.0, mask AP: 40.0}}
"""


def test_several_numbers_of_one_run_stand_in_their_own_places(tmp_path, runs):
    (tmp_path / "several.yaml").write_text(SEVERAL)
    paper = read(tmp_path / "several.yaml")
    assert commands(progress(paper, runs)) == [
        "python train.py experiment=mae/a",
        "python train.py experiment=a/detect",
        "python train.py experiment=a/detect checkpoint=<its run>",
    ]
    mae = runs.train("mae/1", "experiment=mae/a")
    numbers = {"val/box_ap": 0.25, "val/mask_ap": None}
    runs.train("detect/1", "experiment=a/detect checkpoint=null", metrics=numbers)
    runs.train(
        "detect/2",
        f"experiment=a/detect checkpoint={mae}",
        metrics={"val/box_ap": 0.5, "val/mask_ap": 0.375},
    )
    made = progress(paper, runs)
    assert commands(made) == []
    text = markdown(made.filled())
    assert "| random | box AP | 20.0 | 25.0 | +5.0 |" in text
    assert "| random | mask AP | 10.0 | not measured |  |" in text
    assert "| MAE | mask AP | 40.0 | 37.5 | -2.5 |" in text
    assert "random, box AP and 1 more  python train.py experiment=a/detect checkpoint=null" in text


def test_without_runs_every_command_is_missing_once_and_training_comes_first(paper, runs):
    assert commands(progress(paper, runs)) == [
        "python train.py experiment=mae/a epochs=3",
        "python train.py experiment=amt/a",
        f"{PROBE} checkpoint=<its run>",
        f"{FINETUNE} checkpoint=<its run>",
        f"{PROBE} checkpoint=<its run>",
        f"{PROBE} checkpoint=timm:vit",
    ]
    assert [job.can_run for job in progress(paper, runs).missing()] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]


def test_a_found_run_is_filled_into_the_commands_that_judge_it(paper, runs):
    mae = runs.train(
        "mae/1", "experiment=mae/a epochs=3 trainer=ddp trainer.devices=8 logger=wandb data.root=/d"
    )
    assert commands(progress(paper, runs)) == [
        "python train.py experiment=amt/a",
        f"{PROBE} checkpoint={mae}",
        f"{FINETUNE} checkpoint={mae}",
        f"{PROBE} checkpoint=<its run>",
        f"{PROBE} checkpoint=timm:vit",
    ]


def test_the_newest_of_two_runs_is_judged(paper, runs):
    runs.train("mae/old", "experiment=mae/a epochs=3")
    new = runs.train("mae/new", "experiment=mae/a epochs=3")
    assert f"{FINETUNE} checkpoint={new}" in commands(progress(paper, runs))


def test_numbers_are_filled_in_with_interval_commit_and_commands(paper, runs):
    mae = runs.train(
        "mae/1", "experiment=mae/a epochs=3 resume=auto sweep.name=s trainer=ddp", commit="abc"
    )
    runs.probe("eval/1", f"{mae}/checkpoints/last.ckpt", 0.625, commit="def", hardware="8 GPUs")
    finetune = f"experiment=mae/finetune_vit_base checkpoint={mae}/"
    runs.train("ft/1", finetune, metrics={"val/top1": 0.75}, intervals={"val/top1": [0.7, 0.8]})
    runs.probe("eval/2", "timm:vit", 0.5)
    text = markdown(progress(paper, runs).filled())
    assert "| MAE | linear | 60.0 | 62.5 (61.5 to 63.5) | +2.5 |" in text
    assert "| MAE | fine-tuning | 80.0 | 75.0 (70.0 to 80.0) | -5.0 |" in text
    assert "| public | linear | 62.0 | 50.0 (49.0 to 51.0) | -12.0 |" in text
    assert "| AMT | linear | 61.0 | not measured |  |" in text
    assert "| the MAE | linear | 60.0 | 62.5 (61.5 to 63.5) | +2.5 |" in text
    made = (
        "- MAE, linear, 62.5 (61.5 to 63.5): `python train.py experiment=mae/a epochs=3 "
        "trainer=ddp`, then "
        f"`{PROBE} checkpoint={mae}/checkpoints/last.ckpt`; commit abc, def, seed 0, a GPU; 8 GPUs"
    )
    assert made in text


def test_several_seeds_have_a_mean_and_its_interval(paper, runs):
    for seed, top1 in enumerate([0.60, 0.62, 0.64]):
        mae = runs.train(f"mae/{seed}", f"experiment=mae/a epochs=3 seed={seed}", seed=seed)
        runs.probe(f"eval/{seed}", mae, top1)
    text = markdown(progress(paper, runs).filled())
    # mean 62, deviation 2, Student's t for two degrees of freedom 4.303: 62 -+ 4.303 * 2 / sqrt(3)
    assert "| MAE | linear | 60.0 | 62.0 (57.0 to 67.0) | +2.0 |" in text
    assert "commit abc, mean of seeds 0, 1, 2, a GPU" in text


def test_seeds_of_the_judge_alone_count_too_and_the_newest_of_one_seed_stands(paper, runs):
    mae = runs.train("mae/1", "experiment=mae/a epochs=3")
    runs.probe("eval/1", mae, 0.9)
    runs.probe("eval/2", mae, 0.60)
    runs.probe("eval/3", mae, 0.62, " seed=1", seed=1)
    measured = progress(paper, runs).filled().tables[0].rows[0].measured["linear"]
    assert (round(measured.value, 3), measured.seed) == (61.0, [0, 1])


def test_every_number_is_wanted_of_every_seed(paper, runs):
    mae = runs.train("mae/1", "experiment=mae/a epochs=3 seed=1", seed=1)
    runs.probe("eval/1", mae, 0.6)
    missing = commands(progress(paper, runs, 0, 1))
    assert missing[:4] == [
        "python train.py experiment=mae/a epochs=3",
        "python train.py experiment=amt/a",
        "python train.py experiment=amt/a seed=1",
        f"{PROBE} checkpoint=<its run>",
    ]
    assert f"{FINETUNE} seed=1 checkpoint={mae}" in missing
    assert f"{PROBE} seed=1 checkpoint={mae}" not in missing


@pytest.mark.parametrize(
    ("command", "results", "said"),
    [
        ("experiment=mae/a epochs=4", {}, "epochs=4, not 3"),
        ("experiment=mae/a", {}, "no epochs=3"),
        ("experiment=mae/a epochs=3 base_lr=1", {}, "base_lr=1"),
        (
            "experiment=mae/a epochs=3 trainer.devices=1",
            {"images_per_step": None},
            "trainer.devices=1",
        ),
        ("experiment=mae/a epochs=3 checkpoint=x", {}, "checkpoint=x"),
        ("experiment=mae/a a=1 b=2 c=3 d=4 e=5", {}, "no epochs=3, a=1, b=2, c=3 and 2 more"),
    ],
)
def test_another_difference_stops_a_match_and_is_said(paper, runs, command, results, said):
    folder = runs.train("mae/1", command, **results)
    found = progress(paper, runs)
    assert commands(found)[0] == "python train.py experiment=mae/a epochs=3"
    assert list(found.passed_over()) == [f"{folder} is no run of MAE: {said}"]


def test_a_judgement_with_another_setting_is_said_where_its_run_is_of_a_row(paper, runs):
    mae = runs.train("mae/1", "experiment=mae/a epochs=3")
    other = runs.probe("eval/1", mae, 0.5, " evaluate.epochs=5")
    runs.probe("eval/2", "runs/elsewhere/1", 0.5)
    assert list(progress(paper, runs).passed_over()) == [
        f"{other} is no run of MAE, linear: evaluate.epochs=5"
    ]


def test_fine_tuning_of_another_run_is_no_number_of_a_row(paper, runs):
    mae = runs.train("mae/1", "experiment=mae/a epochs=3")
    folder = runs.train(
        "ft/1", "experiment=mae/finetune_vit_base checkpoint=runs/x/1", metrics={"val/top1": 0.7}
    )
    found = progress(paper, runs)
    assert f"{FINETUNE} checkpoint={mae}" in commands(found)
    (said,) = found.passed_over()
    assert (
        said
        == f"{folder} is no run of MAE, fine-tuning: checkpoint=runs/x/1, no finished run of MAE"
    )


def test_runs_that_did_not_finish_do_not_count_and_stopped_ones_are_gone_on_with(paper, runs):
    runs.train("mae/1", "experiment=mae/a epochs=3", status="failed")
    assert commands(progress(paper, runs))[0] == "python train.py experiment=mae/a epochs=3"
    stopped = runs.train("mae/2", "experiment=mae/a epochs=3", status="interrupted")
    assert (
        commands(progress(paper, runs))[0]
        == f"python train.py experiment=mae/a epochs=3 resume={stopped}"
    )


def test_runs_that_were_moved_together_are_still_of_one_another(paper, runs):
    runs.train("mae/1", "experiment=mae/a epochs=3")
    runs.probe("eval/1", "/old/place/mae/1", 0.625)
    assert "| 62.5 (" in markdown(progress(paper, runs).filled())


def test_what_does_not_say_its_command_or_is_half_written_is_left_out(paper, runs):
    for name, text in (("a", '{"knn/top1": 0.5}'), ("b", '{"program": "tr'), ("c", "[]")):
        (runs.root / name).mkdir()
        (runs.root / name / "results.json").write_text(text)
    assert find_records(runs.root) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"there is no folder .*; give the one that holds the runs"
    ):
        find_records(tmp_path / "no")
