"""What only says something imports no torch, nor what imports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow import slow

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "pytorch_lightning",
    "lightning_fabric",
    "timm",
    "torchvision",
    "wandb",
    "sklearn",
    "matplotlib",
}
WATCHED = """
import atexit, runpy, sys
atexit.register(lambda: print("imported", *sys.modules, file=sys.stderr))
sys.argv = sys.argv[1:]
if sys.argv[0] == "mim":
    runpy.run_module("mim", run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train.py --help", "Choose from the groups"),
        slow("train.py --cfg job", "masker:"),
        ("train.py maskr=random", "did you mean 'masker'?"),
        slow("train.py masker.partition.rato=0.6", "did you mean 'ratio'?"),
        (
            "train.py trainer=cpu masker.partition.ratio=lots",
            "masker.partition.ratio='lots' does not fit",
        ),
        (
            "train.py trainer=cpu +trainer.devcies=2",
            "trainer.devcies is not an argument of Trainer",
        ),
        ("eval.py checkpoint=x evaluate.nearset=3", "is not a setting"),
        ("mim --help", "Print papers' tables"),
        slow("mim train maskr=random", "did you mean 'masker'?"),
        slow("mim nothing", "is no command"),
        slow("train.py checkpoint=nowhere", "there is no nowhere"),
        (
            "train.py trainer=cpu encoder.patch_size=7",
            "patch sizes that divide it: 2, 4, 8, 16, 32",
        ),
        slow("eval.py", "checkpoint is missing; give it on the command line"),
        ("eval.py checkpoint=[timm:some,nowhere]", "there is no nowhere"),
        slow("mim figure attention timm:some nowhere", "there is no nowhere"),
        ("train.py data=image_folder data.root=nowhere", "data.root=nowhere is not a folder"),
        slow("mim gallery maskr=random", "did you mean 'masker'?"),
        slow(
            "mim gallery data=image_folder data.root=nowhere", "data.root=nowhere is not a folder"
        ),
        ("mim embed timm:some nowhere --out a.npz", "there is no nowhere"),
        (
            "mim embed timm:some docs --out a.txt",
            "--out=a.txt ends with none of .csv, .npz, .parquet",
        ),
        ("eval.py checkpoint=docs evaluate=knn", "docs holds no checkpoints/last.ckpt"),
    ],
)
def test_it_is_said_without_what_takes_seconds(command, said):
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    words, _, imported = ran.stderr.rpartition("imported ")
    assert said in ran.stdout + words
    assert "hydra" in imported.split()
    assert not HEAVY & set(imported.split())


EVERY_HELP = """
import sys
from importlib import import_module
from pkgutil import iter_modules
from mim import program
for module in iter_modules(program.__path__):
    said = import_module(f"mim.program.{module.name}")
    if module.name not in ("train", "evaluate"):
        print(said.parser().format_help())
print("imported", *sys.modules, file=sys.stderr)
"""


def test_no_command_needs_more_for_its_help():
    ran = subprocess.run(
        [sys.executable, "-c", EVERY_HELP], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("usage: python -m mim ") >= 8
    assert not HEAVY & set(ran.stderr.split())


def test_a_sweep_leaves_to_its_jobs_what_takes_seconds(tmp_path):
    job = tmp_path / "sweeps" / "two" / "0"
    job.mkdir(parents=True)
    (job / "job.json").write_text('{"overrides": ["trainer=cpu", "seed=1"], "exit_code": 0}')
    (job / "results.json").write_text('{"status": "finished", "metrics": {"knn/top1": 0.5}}')
    command = ["train.py", "-m", "trainer=cpu", "seed=1", "sweep.name=two"]
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *command],
        cwd=ROOT,
        env=os.environ | {"MIM_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "1 jobs in" in ran.stdout, ran.stderr
    assert "1 done before" in ran.stdout
    assert not HEAVY & set(ran.stderr.rpartition("imported ")[2].split())
