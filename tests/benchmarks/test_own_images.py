"""What going on from weights does on own images: jobs that compose, their order, and the table."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

import mim

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "own_images.py"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT), run_name="own_images")


@pytest.fixture
def sets(script, tmp_path) -> dict[str, Path]:
    return {name: tmp_path / script["folder_of"](name) for name in ("vehicles", *script["SETS"])}


def finish(folder: Path, **metrics: float) -> None:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(metrics))  # as evaluate leaves it


def test_jobs_come_after_what_they_need_and_compose(script, sets, tmp_path) -> None:
    jobs = list(script["jobs_of"](1, sets, tmp_path))
    assert len({job.folder for job in jobs}) == len(jobs) == 1 + 3 * (2 + 3 * 3)
    seen: set[Path] = set()
    for job in jobs:
        assert job.after is None or job.after in seen
        seen.add(job.folder)
    own = next(job for job in jobs if job.folder.parts[-3:] == ("1002_animals", "arm1", "run"))
    cfg = mim.compose(*own.overrides, "hydra.run.dir=unused")
    assert (cfg.base_lr, cfg.epochs, cfg.seed, cfg.images_per_step) == (5e-5, 200, 1, 256)
    pulled = next(job for job in jobs if job.folder.parts[-2] == "arm2")
    cfg = mim.compose(*pulled.overrides, "hydra.run.dir=unused")
    assert (cfg.base_lr, cfg.decay_to_start, cfg.weight_decay) == (5e-4, 0.05, 0)
    assert "resume=auto" in script["task"](own).command


def test_pictures_are_links_that_no_other_split_has(script, tmp_path) -> None:
    for name in (*script["VEHICLES"], *script["ANIMALS"]):
        for split in ("train", "test"):
            file = tmp_path / "cifar10_images" / split / name / "0.jpg"
            file.parent.mkdir(parents=True)
            file.touch()
    for place in range(400):
        file = tmp_path / "imagenet_sample_1000" / "train" / f"n{place:04}" / "a.jpg"
        file.parent.mkdir(parents=True)
        file.touch()
        file.rename(file.with_name(f"{place}.jpg"))
    for _ in range(2):  # made again, nothing changes
        made = script["pictures"](tmp_path, tmp_path / "out")
    assert len(list(made["vehicles"].glob("*/*/*"))) == 8
    imagenet = made["750 of ImageNet"]
    assert {path.name for path in (imagenet / "train").iterdir()} == set(script["GROUPS"])
    assert len(list((imagenet / "train").glob("*/*"))) == 300
    assert len(list((imagenet / "val").glob("*/*"))) == 100
    assert (imagenet / "train" / "things" / "398.jpg").is_symlink()
    assert (imagenet / "val" / "birds" / "7.jpg").is_symlink()
    assert (imagenet / "train" / "other_animals" / "69.jpg").is_symlink()


def test_the_table_has_gains_over_seeds(script, sets, tmp_path) -> None:
    for seed, gain in ((0, 0.02), (1, 0.04)):
        for judge in script["JUDGES"]:
            folder = tmp_path / f"seed{seed}" / "1002_animals"
            finish(folder / "before" / judge, **{f"{judge}/top1": 0.3})
            finish(folder / "arm0" / judge, **{f"{judge}/top1": 0.3 + gain})
    lines = script["table"](tmp_path, sets, [0, 1, 2]).splitlines()
    assert len(lines) == 2 + 3 * 3
    assert lines[2].endswith("| 2 | 33.0 | +3.0 ± 1.4 | 33.0 | +3.0 ± 1.4 |")
    assert lines[3].endswith("| 0 | not measured | not measured | not measured | not measured |")
