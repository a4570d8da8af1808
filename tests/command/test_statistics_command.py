"""`python -m mim statistics`: its lines, and the command that it proposes."""

import shlex

import numpy as np
import pytest
from PIL import Image

from mim.__main__ import main


@pytest.fixture
def statistics(capsys):
    def run(*arguments):
        code = main(["statistics", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def scans(tmp_path):
    """Grey pictures of 12 bits, one of them twice, one broken."""
    generator = np.random.default_rng(0)
    for number in range(200):
        values = generator.integers(1000, 3001, (20, 24)).astype(np.uint16)
        Image.fromarray(values).save(tmp_path / f"{number:03}.png")
    (tmp_path / "001.png").write_bytes((tmp_path / "000.png").read_bytes())
    (tmp_path / "002.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.filterwarnings("ignore:skipped")
def test_it_says_what_there_is_and_what_to_type(statistics, scans, composed_command):
    code, out, err = statistics(scans)
    assert (code, err) == (0, "")
    assert "pictures      200: 180 for training, 20 held out" in out
    assert "formats       PNG of uint16 (199)" in out
    assert "values        1000 to 3000" in out
    assert "002.png: it is no picture" in out
    assert "1 picture(s) have the values of another, in groups: 1" in out
    assert f"{scans}/000.png = {scans}/001.png" in out.replace("\n", "")
    command = out.splitlines()[-1].removeprefix("to type       ")
    settings = dict(each.split("=", 1) for each in shlex.split(command)[4:])
    assert (settings["data.channels"], settings["data.range"]) == ("1", "[0,4095]")
    assert float(settings["data.mean"].strip("[]")) == pytest.approx(2000 / 4095, abs=0.01)
    assert float(settings["data.std"].strip("[]")) == pytest.approx(577 / 4095, abs=1e-3)
    said = ("image_size", "batch_size", "augment.boxes.ratio")
    assert [settings[f"data.{name}"] for name in said] == ["[20,24]", "45", "[0.9,1.6]"]
    assert settings["encoder.patch_size"] == "2"
    composed_command(command.replace("python -m mim train", "python train.py"))


def test_a_setting_that_is_given_is_not_proposed(statistics, scans):
    (scans / "002.png").unlink()
    code, out, _ = statistics(
        "data=image_folder", f"data.root={scans}", "data.range=[0,65535]", "data.channels=1"
    )
    assert code == 0
    assert (
        out.splitlines()[-1].count("data.range=")
        == out.splitlines()[-1].count("data.channels=")
        == 1
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no nowhere; give a folder of pictures"),
        (["data=digits", "epochs=3"], "give a folder, or data=<name> and settings of it"),
        (["data=digits", "--images", "0"], "--images=0; needs 1 at least"),
        (["data=digits", "data.rot=x"], "data.rot"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(statistics, arguments, said):
    code, _, err = statistics(*arguments)
    assert (code, said in err, err.count("\n")) == (1, True, 1), err
