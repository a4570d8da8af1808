"""benchmarks/dense.py: its commands are right, what has ended is not run again, and its table is of
paired seeds.
"""

import argparse
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import mim

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dense.py"


@pytest.fixture
def dense(monkeypatch):
    """The script, and the folders of what it ran; trainings and evaluations leave made-up rows."""
    script, ran = SimpleNamespace(**runpy.run_path(str(SCRIPT), run_name="dense")), []

    def leaves(folder, row):
        ran.append(folder.name)
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(row))

    def train(settings):
        folder = Path(settings[-1].removeprefix("paths.run="))
        better = 0.25 * ("pretrained" in folder.name)
        leaves(folder, {"status": "finished", "metrics": {"val/miou": 0.5 + better}})

    def evaluate(checkpoint, evaluation, *settings):
        folder = Path(settings[-1].removeprefix("paths.run="))
        seed = int(folder.name[-1])
        value = 0.1 + ("pretrained" in folder.name) * (0.1 + 0.2 * seed)
        leaves(folder, {f"{evaluation}/miou": value, "evaluate": evaluation, "seed": seed})

    monkeypatch.setattr(mim, "compose", lambda *settings: settings)
    monkeypatch.setattr(mim, "train", train)
    monkeypatch.setattr(mim, "evaluate", evaluate)
    script.ran = ran
    return script


def test_what_has_ended_is_not_run_again_and_the_table_pairs_seeds(dense, tmp_path, capsys):
    command = ["--folder", str(tmp_path), "--tasks", "segment", "--seeds"]
    dense.main([*command, "0"])
    assert dense.ran[:2] == ["start_random_0", "start_pretrained_0"]
    assert len(dense.ran) == 2 + 4 + 2
    capsys.readouterr()
    dense.main([*command, "0", "1"])
    assert len(dense.ran) == len(set(dense.ran)) == 2 * 8
    rows = capsys.readouterr().out.splitlines()[-3:]
    # differences 0.1 and 0.3: mean 0.2, deviation 0.1414, half an interval 12.706 * 0.1
    knn = "| dense_knn miou | 0 1 | 0.100 ± 0.000 | 0.300 ± 0.141 | +0.200 (-1.071 to +1.471) |"
    assert rows[0] == knn
    assert rows[2].startswith("| segment miou | 0 1 | 0.500 ± 0.000 | 0.750 ± 0.000 | +0.250 (")


def test_a_training_that_was_stopped_is_run_again_and_is_in_no_table(dense, tmp_path):
    stopped = tmp_path / "segment_random_0"
    stopped.mkdir()
    (stopped / "results.json").write_text('{"status": "interrupted", "metrics": {"val/miou": 1}}')
    assert dense.measured(tmp_path, "segment_random_0") == {}


@pytest.mark.parametrize("task", ["segment", "detect"])
def test_commands_of_the_jobs_compose(task):
    script = runpy.run_path(str(SCRIPT), run_name="dense")
    args = argparse.Namespace(
        seeds=[3], tasks=[task], scenes=8, patch=4, epochs=2, pretrain_epochs=1, folder=Path("at")
    )
    made = {job.name: job for job in script["jobs"](args)}
    start, last = made["start_pretrained_3"], made[f"{task}_pretrained_3"]
    assert mim.compose(*start.settings).loss.target.normalise is False
    cfg = mim.compose(*last.settings)
    assert cfg.checkpoint.endswith("at/start_pretrained_3")
    assert (cfg.seed, cfg.lr, cfg.data.train_scenes) == (3, 1e-3, 8)
