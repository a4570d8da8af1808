import subprocess
import sys
from pathlib import Path

from mim.__main__ import main
from mim.paper.grid import grids
from mim.paper.table import names


def test_the_tables_of_one_paper(capsys):
    assert main(["tables", "sbam"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("## Salience-Based Adaptive Masking")
    assert "| MAE + SBAM, ViT-L | fine-tuning | 85.1 | not measured |  |" in out
    assert "python train.py experiment=sbam/imagenet_sbam\n" in out


def test_the_page_of_all_tables_is_what_the_data_say(capsys):
    assert main(["tables"]) == 0
    page = Path(__file__).parents[2] / "docs" / "tables.md"
    assert capsys.readouterr().out == page.read_text(), "write it anew: make tables"


def test_a_paper_that_is_not_here(capsys):
    assert main(["tables", "mea"]) == 1
    allowed = ", ".join([*names(), *grids()])
    assert (
        capsys.readouterr().err
        == f"error: there are no tables of mea; did you mean 'mae'? allowed: {allowed}\n"
    )


def test_a_reader_that_has_read_enough_is_no_error():
    command = f"{sys.executable} -m mim tables | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "# Papers' tables\n", "")
