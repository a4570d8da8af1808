"""The GPU benchmark's step on a CPU at toy size: every contestant takes part."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> list[dict]:
    """What `--parts fast --size toy` writes for the official way and ours, and for the maskers."""
    out = tmp_path_factory.mktemp("gpu")
    paths = [ROOT / "src", ROOT / "benchmarks", ROOT / "benchmarks" / "gpu"]
    line = [
        sys.executable,
        ROOT / "benchmarks" / "gpu" / "fast.py",
        "--out",
        out,
        "--size",
        "toy",
        "--cases",
        "1",
        "2",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    subprocess.run(line, check=True, env=environment, capture_output=True)
    return json.loads((out / "fast.json").read_text())["tables"]


@pytest.mark.slow
def test_the_official_way_and_ours_have_as_many_parameters_and_about_the_same_first_loss(tables):
    official, eager, _, compiled, _ = tables[0]["rows"]
    columns = tables[0]["columns"]
    parameters, loss = columns.index("parameters"), columns.index("first loss")
    assert official[parameters] == eager[parameters] == compiled[parameters]
    assert official[loss] == pytest.approx(eager[loss], rel=0.2)
    assert eager[loss] == pytest.approx(compiled[loss], rel=1e-2)


@pytest.mark.slow
def test_every_masker_is_timed(tables):
    assert [row[0] for row in tables[1]["rows"]] == [
        *("random", "sbm", "sbam", "am", "amt, 40 % thrown", "amt, 50 % thrown", "emae")
    ]
    assert all(row[1] > 0 for row in tables[1]["rows"])


@pytest.mark.slow
def test_a_part_that_is_stopped_leaves_what_it_had_and_the_next_one_begins(tmp_path):
    line = [
        sys.executable,
        "benchmarks/gpu",
        "--out",
        tmp_path,
        "--size",
        "toy",
        "--parts",
        "fast",
        "--minutes",
        "0.002",
    ]
    subprocess.run(line, check=True, cwd=ROOT, capture_output=True)
    assert "fast: its time was over" in (tmp_path / "gpu.md").read_text()
