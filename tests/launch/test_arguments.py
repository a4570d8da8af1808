"""Whatever is wrong with the arguments of a command is said in a line."""

import ast
from pathlib import Path
from pkgutil import iter_modules

import pytest

from mim import program
from mim.__main__ import main
from mim.launch.arguments import Arguments, path

COMMANDS = ("convert", "embed", "export", "figure", "gallery", "reconstruct", "tables")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", [["-x"], ["--nope"], ["--nope=3", "a", "b"]])
def test_an_argument_that_is_none_is_one_line(capsys, command, wrong):
    assert main([command, *wrong]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert f"python -m mim {command}" in said.err


def test_the_nearest_argument_is_named(capsys):
    assert main(["embed", "a", "b", "--out", "c.npz", "--batchsize=3"]) == 1
    said = capsys.readouterr().err
    assert "takes no --batchsize=3; did you mean '--batch-size'? allowed: " in said


def test_arguments_of_a_figure_are_among_the_allowed(capsys):
    assert main(["figure", "epochs", "a", "--metrik", "b"]) == 1
    assert "did you mean '--metric'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a"], "the following arguments are required: --count"),
        (["--count", "few"], "invalid int value: 'few'"),
        (["--count"], "expected one argument"),
    ],
)
def test_a_refusal_is_in_words_and_ends_with_the_way_to_the_help(given, said):
    parser = Arguments("python -m mim example", "Count.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--count", type=int, required=True)
    with pytest.raises(ValueError, match=said) as error:
        parser.parse_args(given)
    assert str(error.value).endswith("python -m mim example --help says what there is")


def test_help_is_printed_and_ends_well(capsys):
    with pytest.raises(SystemExit) as end:
        main(["convert", "--help"])
    assert end.value.code == 0
    assert (
        "Write the weights of any checkpoint in another format.\n\n    python -m mim convert"
        in capsys.readouterr().out
    )


def test_a_tilde_is_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert path("~/my figures/a.png") == Path("/home/me/my figures/a.png")


PROGRAMS = sorted(module.name for module in iter_modules(program.__path__))


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_begins_with_one_line_and_shows_each_command_in_its_own(name):
    said = ast.get_docstring(ast.parse(Path(program.__path__[0], f"{name}.py").read_text()))
    first, empty, *lines = said.splitlines()
    assert first.endswith(".")
    assert not empty
    shown = [line for line in lines if line.startswith("    ")]
    assert any(line.startswith(f"    python -m mim {name}") for line in shown)
    assert all(line.count("python -m mim") == 1 for line in shown if "python -m mim" in line)
    assert all(line.startswith(("    python -m mim", " " * 8)) for line in shown)
