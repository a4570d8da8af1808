"""The scripts that measure a GPU, on a few tiny pictures and a CPU: they run, and leave whole
tables of numbers.
"""

import io
import json
import math
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """A script of benchmarks/gpu as a module."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(ROOT / "benchmarks" / "gpu")
    yield lambda name: __import__(name)
    for name in {"fed", "learns", "pictures", "report"} - before:
        sys.modules.pop(name, None)


def jpeg(seed: int, width: int, height: int) -> bytes:
    """Noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out := io.BytesIO(), "JPEG")
    return out.getvalue()


def save(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def cifar() -> dict[str, bytes]:
    """Two classes of 20 pictures to train on, and of 5 to be asked about."""
    return {
        f"{split}/{name}/{number}.jpg": jpeg(number, 32, 32)
        for split, count in (("train", 20), ("test", 5))
        for name in ("cat", "dog")
        for number in range(count)
    }


def tables(path: Path) -> list[dict[str, Any]]:
    """The tables of a part; every cell is a word or a finite number."""
    found = json.loads(path.read_text())
    for table in found["tables"]:
        assert table["rows"], f"{table['caption']} is empty; {found['notes']}"
        for row in table["rows"]:
            assert len(row) == len(table["columns"])
            assert all(isinstance(cell, str) or math.isfinite(cell) for cell in row)
    return found["tables"]


def column(table: dict[str, Any], name: str) -> list[Any]:
    return [row[table["columns"].index(name)] for row in table["rows"]]


def test_every_arm_learns_by_equal_compute(script: Callable[[str], Any], tmp_path: Path) -> None:
    save(tmp_path / "cifar10_images", cifar())
    learns = script("learns")
    learns.main(
        ["--out", str(tmp_path), "--data", str(tmp_path), "--size", "toy", "--minutes", "0.01"]
    )
    (table,) = tables(tmp_path / "learns.json")
    assert column(table, "arm") == ["untrained", "MAE", "AMT", "SBAM", "EMAE, K = 4"]
    spent, step = column(table, "PFLOP")[1:], 16 * max(column(table, "GFLOP an image")) / 1e6
    assert min(spent) > 0
    assert max(spent) - min(spent) <= step, "arms differ by one step at most"
    assert column(table, "images a step")[1:] == [16, 16, 16, 4]
    steps, seen = column(table, "steps")[1:], column(table, "images seen")[1:]
    assert seen == [count * batch for count, batch in zip(steps, [16, 16, 16, 4], strict=True)]
    assert column(table, "epochs")[1:] == pytest.approx([images / 40 for images in seen])
    for judge in ("k-NN top-1, %", "linear top-1, %"):
        assert all(0 <= value <= 100 for value in column(table, judge))


def test_amt_looks_and_then_throws(script: Callable[[str], Any]) -> None:
    learns = script("learns")
    train = learns.Images(
        torch.randint(256, (32, 3, 32, 32), dtype=torch.uint8), torch.zeros(32).long()
    )
    arm = learns.Arm("AMT", learns.SIZES["toy"], train, learns.Scale(train.image), seed=0, lr=1e-3)
    before = arm.image_flops
    arm.turn(0.05, 1.0)
    assert (arm.steps, arm.looks) == (1, 0)
    arm.turn(0.1, arm.flops + 1)
    assert arm.looks == 1
    store = next(part for part in arm.model.modules() if isinstance(part, learns.AttentionStore))
    assert store.maps.shape == (32, 8, 8)
    assert arm.image_flops < 0.8 * before, "what is thrown costs nothing"
    arm.turn(0.2, arm.flops)
    assert arm.looks == 1, "the next look comes at a third"


def test_crops_and_order_are_those_of_training(script: Callable[[str], Any]) -> None:
    from mim.augment.boxes import TorchvisionBoxes
    from mim.augment.crop_flip import CropFlip
    from mim.data.in_memory import InMemory, Stored
    from mim.data.sampler import ShuffledRows

    learns = script("learns")
    train = learns.Images(torch.randint(256, (10, 3, 32, 32), dtype=torch.uint8), torch.arange(10))
    scale = learns.Scale(train.image)
    stored = InMemory(Stored(*train), CropFlip(TorchvisionBoxes()), 32)
    rows = ShuffledRows(10, 4, seed=3)
    made = learns.batches(train, scale, 4, seed=3)
    for epoch in range(2):
        rows.set_epoch(epoch)
        for chosen in rows:
            ours, batch = next(made), stored[chosen]
            torch.testing.assert_close(ours.image, scale(stored.finish(batch.views[0])))
            assert all(
                torch.equal(a, b) for a, b in zip(ours.tensors[1:], batch.tensors[1:], strict=True)
            )


def test_an_arm_that_fails_leaves_the_others(script: Callable[[str], Any], tmp_path: Path) -> None:
    learns = script("learns")
    train = learns.Images(
        torch.randint(256, (32, 3, 32, 32), dtype=torch.uint8), torch.zeros(32).long()
    )
    arms = [
        learns.Arm(n, learns.SIZES["toy"], train, learns.Scale(train.image), 0, 1e-3)
        for n in ("MAE", "SBAM")
    ]
    arms[0].optimizer = None
    report = learns.Report(tmp_path / "learns.json")
    left = learns.contest(arms, learns.SIZES["toy"], 0.0, report)
    assert [arm.name for arm in left] == ["SBAM"]
    assert report.notes[0].startswith("MAE failed after 0 steps")


@pytest.mark.slow
# torchvision's own is measured beside ours
@pytest.mark.filterwarnings("ignore:The image decoding")
def test_the_input_is_measured(script: Callable[[str], Any], tmp_path: Path) -> None:
    contents = {
        f"train/{name}/{n}.jpg": jpeg(n, 60, 40) for name in ("cat", "dog") for n in range(4)
    }
    save(tmp_path / "imagenet_sample_1000", contents)
    script("fed").main(
        ["--out", str(tmp_path), "--data", str(tmp_path), "--size", "toy", "--minutes", "600"]
    )
    small, training, large, decoding = tables(tmp_path / "fed.json")
    for table, name in ((small, "short side 256"), (large, "short side 375")):
        pipelines = ["official recipe (Pillow)", "mim, data=image_folder", "mim, data=webdataset"]
        pipelines += ["mim, data.decoder=nvjpeg"] if torch.cuda.is_available() else []
        assert column(table, "pipeline") == pipelines
        assert set(column(table, "pictures")) == {name}
        rates = column(table, "images/s")
        assert min(rates) > 0
        assert column(table, "times official") == pytest.approx([rate / rates[0] for rate in rates])
    assert len(training["rows"]) == 2
    waited, slower = training["rows"][1][2:]
    assert 0 <= waited <= 1
    assert slower == pytest.approx(1 - training["rows"][1][1] / training["rows"][0][1])
    assert column(decoding, "what") == ["decode", "decode, crop and resize"] * 2
    notes = json.loads((tmp_path / "fed.json").read_text())["notes"]
    assert "8 pictures, on average 60 x 40" in notes[0]
    assert "8 pictures, on average 562 x 375" in notes[0]


@pytest.mark.parametrize(("ending", "mode"), [("tar", "w"), ("tar.xz", "w:xz")])
def test_a_tar_file_is_the_folder(
    script: Callable[[str], Any], tmp_path: Path, ending: str, mode: str
) -> None:
    pictures = script("pictures")
    save(
        tmp_path / "plain" / "some",
        {"train/cat/1.jpg": b"one", "test/dog/2.jpg": b"two", "readme.txt": b"no"},
    )
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / f"some.{ending}", mode) as tar:
        tar.add(tmp_path / "plain" / "some", "some")
    plain, packed = (
        sorted(pictures.jpegs(tmp_path / kind, "some")) for kind in ("plain", "packed")
    )
    assert plain == packed == [("test/dog/2.jpg", b"two"), ("train/cat/1.jpg", b"one")]
    with pytest.raises(FileNotFoundError, match=r"holds no other/, other.tar or other.tar.xz"):
        next(pictures.jpegs(tmp_path, "other"))
