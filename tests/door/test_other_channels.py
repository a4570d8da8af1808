"""One channel, and five on oblong images, through all that is done with a run: train, resume,
judge, draw, convert, export.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mim
from mim.__main__ import main
from tests.slow import quick, slow

SHORT = (
    "warmup_epochs=0",
    "trainer.accelerator=cpu",
    "encoder.width=16",
    "encoder.depth=2",
    "data.image_size=[16,32]",
    "data.batch_size=8",
    "callback=[weight_average,checkpoint,results,interruption,reconstructions,refresh_attention]",
    "callback.refresh_attention.every_n_epochs=1",
    "masker=amt",
    "name=run",
)
DATA = {
    1: ("data=digits", "data.channels=1", "trainer.limit_train_batches=3"),
    5: ("data=image_folder", "data.channels=5"),
}
DRAWN = {1: "null", 5: "[4,2,0]"}
EVALUATIONS = ("knn", "linear", "attention_statistics")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Forty arrays of five channels and 16 bits, two classes."""
    root, draw = tmp_path_factory.mktemp("five"), np.random.default_rng(0)
    for number in range(40):
        place = root / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        level = 65535 if number % 2 else 30000
        np.save(place / f"{number}.npy", draw.integers(0, level, (5, 20, 40)).astype(np.uint16))
    return root


@pytest.fixture(scope="module", params=[slow(1), 5])
def trained(request, arrays, tmp_path_factory):
    """A run of one epoch of two, resumed to its end: its channels, its folder and where it is."""
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MIM_RUNS", str(place))
        environment.setenv("MIM_CACHE", str(place / "cache"))
        environment.setenv("MIM_DATA", str(arrays))
        asked = (
            *SHORT,
            *DATA[request.param],
            f"callback.reconstructions.channels={DRAWN[request.param]}",
        )
        first = mim.train(mim.compose(*asked, "epochs=1"))
        second = mim.train(mim.compose(*asked, "epochs=2", f"resume={first.folder}"))
        yield request.param, second, place


def test_it_trains_and_goes_on_and_says_its_geometry(trained):
    channels, run, _ = trained
    assert run.results["status"] == "finished"
    assert run.encoder.geometry == mim.Geometry(channels, (16, 32), (8, 8), (2, 4))
    assert len(run.encoder.mean) == channels
    assert f"{channels} x 16 x 32, 2 x 4 patches of 8" in run.encoder.describe()
    pictures = sorted((run.folder / "pictures").glob("reconstruction_*.png"))
    assert np.asarray(Image.open(pictures[-1])).std() > 1


@pytest.mark.parametrize("evaluation", quick(EVALUATIONS, "knn", "attention_statistics"))
def test_it_is_judged(trained, evaluation):
    _, run, _ = trained
    row = mim.evaluate(run.folder, evaluation, accelerator="cpu")
    assert row["evaluate"] == evaluation


def test_its_features_are_those_of_arrays_and_files(trained, arrays):
    channels, run, _ = trained
    image = torch.rand(2, channels, 16, 32)
    assert mim.features(run.encoder, image).shape == (2, 16)
    if channels == 5:
        assert mim.features(run.encoder, str(arrays)).shape == (40, 16)
    else:
        # colours made grey
        assert mim.features(run.encoder, image.expand(-1, 3, -1, -1)).shape == (2, 16)


def test_it_is_converted_exported_and_drawn(trained, arrays, tmp_path, monkeypatch, capsys):
    channels, run, place = trained
    monkeypatch.setenv("MIM_RUNS", str(place))
    monkeypatch.setenv("MIM_DATA", str(arrays))
    source = "data=digits" if channels == 1 else str(arrays)
    data = [*DATA[channels][:2], "data.image_size=[16,32]"]
    for command in (
        ["convert", str(run.folder), str(tmp_path / "timm.pth"), "--to", "timm"],
        ["convert", str(run.folder), str(tmp_path / "ours.safetensors"), "--to", "safetensors"],
        ["export", str(run.folder), str(tmp_path / "encoder.pt2"), "--to", "program"],
        [
            "reconstruct",
            str(run.folder),
            *([source, "data.channels=1"] if channels == 1 else [source]),
            "--images",
            "2",
        ],
        [
            "gallery",
            f"checkpoint={run.folder}",
            "masker=random,sbam,amt,block",
            "pictures=2",
            "images=16",
            *data,
        ],
    ):
        assert main(command) == 0, (command, capsys.readouterr().err)
    said = capsys.readouterr().out
    assert ("in_chans=" in said) == (channels != 3)
    again = mim.load(tmp_path / "ours.safetensors")
    image = torch.rand(1, channels, 16, 32)
    assert torch.equal(again(image), run.encoder(image))
    assert again.mean == run.encoder.mean


def test_it_is_taken_to_another_shape(trained):
    channels, run, _ = trained
    other = mim.load(run.folder, image_size=(32, 32))
    assert other.geometry.grid == (4, 4)
    assert "positions resized from 2 x 4 to 4 x 4" in other.describe()
    assert other(torch.rand(1, channels, 32, 32)).isfinite().all()


def test_its_config_says_all_of_it(trained):
    channels, run, _ = trained
    content = json.loads((run.folder / "results.json").read_text())
    assert f"data.channels={channels}" in content["overrides"]
