"""`python -m mim figure`: what it prints, writes and refuses."""

import csv

import pytest

from mim.__main__ import main


@pytest.fixture
def figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIM_RUNS", str(tmp_path / "runs"))

    def run(*arguments):
        code = main(["figure", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def sweep(run_folder, tmp_path):
    """Four finished runs and one that was stopped."""
    for i, (masker, ratio) in enumerate([("random", 0.5), ("random", 0.75), ("sbm", 0.5), ("sbm", 0.75)]):
        columns = {"train/loss": [(0, 1.0), (1, 0.5)], "knn/top1": [(1, 0.6 + 0.01 * i)]}
        run_folder(
            f"sweep/{i}", masker, ratio, metrics={"knn/top1": 0.6 + 0.01 * i, "train/loss": 0.5}, columns=columns
        )
    run_folder("sweep/4", "sbm", 0.9, status="interrupted")
    return tmp_path / "sweep"


def table(picture):
    with picture.with_suffix(".csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_becomes_a_picture_with_its_numbers_beside_it_and_one_line_about_it(figure, sweep, tmp_path):
    picture = tmp_path / "figures" / "a.png"
    code, out, err = figure("ratio", sweep, "--out", picture)
    assert code == 0, err
    assert out == (
        f"figure {picture}  numbers {picture.with_suffix('.csv')}  "
        "knn/top1 over masking ratios 0.5, 0.75 of 4 runs: random, SBM; 1 unfinished left out\n"
    )
    assert picture.stat().st_size > 10_000
    assert [(row["series"], row["ratio"], row["mean"], row["pimr"]) for row in table(picture)] == [
        ("random", "0.5", "0.6", ""),
        ("random", "0.75", "0.61", "0.01"),
        ("SBM", "0.5", "0.62", ""),
        ("SBM", "0.75", "0.63", "0.01"),
    ]


def test_without_out_it_goes_where_runs_go(figure, sweep, tmp_path):
    code, _, err = figure("epochs", sweep / "0", sweep / "2", "--names", "A", "B")
    assert code == 0, err
    (picture,) = tmp_path.glob("runs/figures/*/epochs.png")
    assert [(row["series"], row["metric"], row["epoch"]) for row in table(picture)] == [
        ("A", "knn/top1", "2"),
        ("B", "knn/top1", "2"),
        *((name, "train/loss", epoch) for name in "AB" for epoch in "12"),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ratio", "{sweep}", "--metric", "val/top1"), "{sweep}/0 has no val/top1; it has knn/top1, train/loss"),
        (("ratio", "{sweep}/4"), "none of these 1 run(s) is finished ({sweep}/4: interrupted)"),
        (("ratio", "nowhere"), "there is no folder nowhere; give a run's"),
        (("epochs", "{sweep}/0", "--metric", "top1"), "{sweep}/0 has no top1 over epochs; it has knn/top1, train/loss"),
        (("epochs", "{sweep}/0", "--out", "a.pdf"), "--out=a.pdf is no .png file"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(figure, sweep, arguments, message):
    code, out, err = figure(*(argument.format(sweep=sweep) for argument in arguments))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message.format(sweep=sweep)}")
    assert err.count("\n") == 1


def test_help_names_every_figure_with_an_example(figure, capsys):
    with pytest.raises(SystemExit):
        figure("--help")
    said = capsys.readouterr().out
    for name in ("ratio", "epochs"):
        assert f"python -m mim figure {name} " in said
