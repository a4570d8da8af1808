"""What only says something imports no torch, nor what imports it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "pytorch_lightning", "lightning_fabric", "timm", "torchvision", "wandb", "sklearn", "matplotlib"}
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
        ("train.py --cfg job", "masker:"),
        ("train.py maskr=random", "did you mean 'masker'?"),
        ("train.py masker.partition.rato=0.6", "did you mean 'ratio'?"),
        ("train.py trainer=cpu masker.partition.ratio=lots", "masker.partition.ratio='lots' does not fit"),
        ("train.py trainer=cpu +trainer.devcies=2", "trainer.devcies is not an argument of Trainer"),
        ("eval.py checkpoint=x evaluate.nearset=3", "is not a setting"),
        ("mim --help", "Print papers' tables"),
        ("mim train maskr=random", "did you mean 'masker'?"),
        ("mim nothing", "is no command"),
    ],
)
def test_it_is_said_without_what_takes_seconds(command, said):
    ran = subprocess.run(
        [sys.executable, "-c", WATCHED, *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    words, _, imported = ran.stderr.rpartition("imported ")
    assert said in ran.stdout + words
    assert "hydra" in imported.split()
    assert not HEAVY & set(imported.split())
