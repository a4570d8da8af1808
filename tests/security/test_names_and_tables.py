"""Names out of files: on the screen, in tables, as paths."""

import csv

import pytest
from omegaconf import OmegaConf

from mim.data.tiny_imagenet import sort_validation
from mim.launch.errors import report
from mim.plain import printable
from mim.sweep.job import write_record
from mim.sweep.table import Table, markdown, write_table


def test_control_characters_are_escaped_on_the_screen(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MIM_TRACEBACK", "0")
    report(ValueError("a\x1b[2J\x1b[31merror: all is lost\rb\u202ec"), tmp_path, "train")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(character.isprintable() for character in said.rstrip("\n"))
    assert printable("\x1b[2J\n") == "\\x1b[2J\\n"


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)"])
def test_what_begins_like_a_formula_is_quoted(tmp_path, name):
    for number in range(2):
        (tmp_path / str(number)).mkdir()
    write_record(tmp_path / "0", overrides=[name], exit_code=0)
    write_record(tmp_path / "1", overrides=["seed=\n| a | b |\x1b[2J"], exit_code=0)
    write_table(tmp_path, ["knn/top1"], True)
    with (tmp_path / "sweep.csv").open(newline="") as file:
        cells = [row[1] for row in csv.reader(file)]
    assert f"'{name}" in cells
    table = (tmp_path / "sweep.md").read_text()
    assert "\x1b" not in table
    assert len(table.split("\n\n")[0].splitlines()) == 4


@pytest.mark.parametrize(
    "line",
    ["a.JPEG\t/elsewhere", "a.JPEG\t../up", "../../a.JPEG\tn01", "a.JPEG\t..", "/etc/passwd\tn01"],
)
def test_annotations_name_files_and_folders_beside_them(tmp_path, line):
    images = tmp_path / "val" / "images"
    images.mkdir(parents=True)
    (images / "a.JPEG").write_bytes(b"picture")
    (tmp_path / "val" / "val_annotations.txt").write_text(line + "\t0\t0\t1\t1\n")
    with pytest.raises(ValueError, match="are no names of a file and a folder"):
        sort_validation(tmp_path)
    assert not (tmp_path / "val_by_class").exists()


def test_no_cell_of_a_table_holds_html_or_ends_its_line():
    cell = markdown(["name"], [["<img src=x>|\n\x1b[2J"]]).splitlines()[2]
    assert cell == r"| \<img src=x>\|\n\x1b[2J |"


def test_a_sweep_without_its_table_does_not_end_well(tmp_path, capsys):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "job.json").write_text("no record")
    with pytest.raises(SystemExit) as end:
        Table("knn/top1", True).on_multirun_end(
            OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
        )
    assert end.value.code == 1
    assert "error: no table of the sweep: " in capsys.readouterr().err
