"""What is wrong with a command line alone is said before what does the work is imported."""

import gc
from importlib import import_module

import pytest

from mim.__main__ import main

EMBED = "embed run a.jpg --out"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run that is empty, a picture, a file in the way; what does the work cannot be imported."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name in ("run/checkpoints/last.ckpt", "a.jpg", "taken.npz"):
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()

    def programs_alone(name):
        assert name.startswith("mim.program."), f"{name} was imported, gc: {gc.isenabled()}"
        return import_module(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mim.__main__.import_module", programs_alone)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (f"{EMBED} a.txt", "--out=a.txt ends with none of .csv, .npz, .parquet"),
        (f"{EMBED} taken.npz", "taken.npz exists already"),
        (f"{EMBED} a.csv --patches", "features of patches are no table of numbers"),
        (f"{EMBED} a.npz --pool meen", "--pool=meen is no pool; did you mean 'mean'?"),
        (f"{EMBED} a.npz --device gpu", "--device=gpu is no device; e.g. cpu, cuda, cuda:1"),
        (f"{EMBED} a.npz --batch-size 0", "--batch-size=0; needs 1 at least"),
        (f"{EMBED} a.npz --workers -1", "--workers=-1; needs 0 at least"),
        (f"{EMBED} a.npz --image-size 0", "--image-size=0; needs 1 at least"),
        (f"{EMBED} a.npz --block 0", "--block=0; needs 1 at least"),
        ("embed run nowhere.jpg --out a.npz", "there is no nowhere.jpg; give a folder of pictures"),
        ("statistics nowhere", "there is no nowhere; give a folder of pictures"),
        (
            "embed empty a.jpg --out a.npz",
            "empty holds no checkpoints/last.ckpt; give a run folder",
        ),
        ("convert run taken.npz --to timm", "taken.npz exists already"),
        ("convert run a.npz --to timm --decoder-heads 0", "--decoder-heads=0; needs 1 at least"),
        (
            "convert run --to timm --out a.npz",
            "it is given without a name: python -m mim convert <checkpoint> <out>",
        ),
        ("export run taken.npz --to onnx", "taken.npz exists already"),
        ("push run digits --licence mit", "digits is no repository"),
        ("push run me/digits", "weights need a licence"),
        ("push run me/digits --licence mit --out run", "run exists already"),
        ("reconstruct run a.jpg --seeds 0", "--seeds=0; needs 1 at least"),
        ("reconstruct run a.jpg --images 0", "--images=0; needs 1 at least"),
        ("reconstruct run a.jpg --masker sbn", "--masker sbn is no masker; did you mean 'sbm'?"),
        ("figure epochs run --out a.pdf", "--out=a.pdf is no .png file"),
        ("figure attention run --images 0", "--images=0; needs 1 at least"),
        ("shards run --size 4 --out a", "--size=4; needs 8 to 8,192"),
        ("shards run --size 8 --out a --quality 101", "--quality=101; needs 1 to 100"),
        ("statistics run --images 0", "--images=0; needs 1 at least"),
        ("tables amt --parallel 0", "--parallel=0; needs 1 at least"),
        ("runs run --html a.txt", "--html=a.txt is no .html file"),
    ],
)
def test_it_is_one_line_before_anything_is_imported(folder, capsys, given, said):
    before = sorted(folder.rglob("*"))
    assert main(given.split()) == 1
    errors = capsys.readouterr().err
    assert said in errors
    assert errors.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "given",
    [
        f"{EMBED} a.npz --pool cls --workers 0 --device cuda:1",
        "convert run a --to hf",
        "reconstruct run a.jpg --masker sbam masker.cell=2",
    ],
)
def test_what_is_right_goes_on_to_the_work(folder, capsys, given):
    assert main(given.split()) == 1
    said = capsys.readouterr().err
    assert f"mim.command.{given.split()[0]} was imported, gc: False" in said
    assert gc.isenabled()
