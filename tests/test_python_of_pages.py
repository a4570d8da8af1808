"""The Python that README.md and the notebook show is run as it is shown but for the epochs, in a
folder of a user's own.
"""

import json
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
LENGTH = '"epochs=30", "warmup_epochs=3"'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with photos in it, where runs go, too."""
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(
            tmp_path / "photos" / f"{number}.png"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIM_RUNS", str(tmp_path / "runs"))
    mpl.use("agg")
    return tmp_path


def short(source):
    """The same with one epoch."""
    assert "mim.train" not in source or LENGTH in source
    return source.replace(LENGTH, '"epochs=1", "warmup_epochs=0"')


def test_the_readme(folder, capsys):
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    assert len([line for line in block.splitlines() if line]) <= 10
    names = {}
    exec(short(block), names)
    assert names["features"].shape == (3, 64)
    assert names["tokens"].shape == (3, 16, 64)
    assert 0 < names["row"]["knn/top1"] <= 1
    assert "mean" in capsys.readouterr().out


def test_the_notebook(folder, capsys):
    cells = json.loads((ROOT / "docs" / "first_steps.ipynb").read_text())["cells"]
    assert all(not cell.get("outputs") for cell in cells)
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(short("".join(cell["source"])), names)
    assert "did you mean 'masker'?" in capsys.readouterr().out
    assert names["features"].shape == (1797, 64)
    assert names["nearest"][0] == 17
    assert (names["split"].visible.shape[-1], names["split"].masked.shape[-1]) == (4, 12)
    assert {line["pool"] for line in names["row"]["table"]} == {"cls", "mean"}
