"""`python -m mim figure`: what it prints, writes and refuses."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mim.__main__ import main
from mim.command.figure import DRAW
from mim.program.figure import parser

ROOT = Path(__file__).parents[2]


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
    for i, (masker, ratio) in enumerate(
        [("random", 0.5), ("random", 0.75), ("sbm", 0.5), ("sbm", 0.75)]
    ):
        columns = {"train/loss": [(0, 1.0), (1, 0.5)], "knn/top1": [(1, 0.6 + 0.01 * i)]}
        run_folder(
            f"sweep/{i}",
            masker,
            ratio,
            metrics={"knn/top1": 0.6 + 0.01 * i, "train/loss": 0.5},
            columns=columns,
        )
    run_folder("sweep/4", "sbm", 0.9, status="interrupted")
    return tmp_path / "sweep"


@pytest.fixture
def pictures(tmp_path):
    """A file that is a picture, and one that is not."""
    Image.fromarray(np.arange(60 * 40 * 3, dtype=np.uint8).reshape(60, 40, 3)).save(
        tmp_path / "cow.png"
    )
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return tmp_path


def table(picture):
    with picture.with_suffix(".csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_sweep_becomes_a_picture_with_its_numbers_beside_it_and_one_line_about_it(
    figure, sweep, tmp_path
):
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


def test_runs_on_pictures_without_classes_have_a_loss_to_draw(figure, run_folder, tmp_path):
    columns = {"train/loss": [(0, 1.0), (1, 0.5)]}
    folder = run_folder("a", metrics={"train/loss": 0.5}, columns=columns)
    code, _, err = figure("epochs", folder, "--out", tmp_path / "a.png")
    assert code == 0, err
    assert {row["metric"] for row in table(tmp_path / "a.png")} == {"train/loss"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("ratio", "{sweep}", "--metric", "val/top1"),
            "{sweep}/0 has no val/top1; it has knn/top1, train/loss",
        ),
        (("ratio", "{sweep}/4"), "none of these 1 run(s) is finished ({sweep}/4: interrupted)"),
        (("ratio", "nowhere"), "there is no folder nowhere; give a run's"),
        (
            ("epochs", "{sweep}/0", "--metric", "top1"),
            "{sweep}/0 has no top1 over epochs; it has knn/top1, train/loss",
        ),
        (("epochs", "{sweep}/0", "--out", "a.pdf"), "--out=a.pdf is no .png file"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(figure, sweep, arguments, message):
    code, out, err = figure(*(argument.format(sweep=sweep) for argument in arguments))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message.format(sweep=sweep)}")
    assert err.count("\n") == 1


def test_attention_of_checkpoints_is_drawn_side_by_side_on_held_out_images(
    figure, checkpoint_folder, tmp_path
):
    first, second = checkpoint_folder("first"), checkpoint_folder("second", seed=1, image_size=16)
    code, out, err = figure(
        "attention", first, second, "--rows", 3, 440, "--out", tmp_path / "a.png"
    )
    assert code == 0, err
    assert out.endswith(
        "attention of the cls token, mean over heads, to 2 image(s): first (block 2), second "
        "(block 2)\n"
    )
    rows = table(tmp_path / "a.png")
    assert {(row["image"], row["checkpoint"], row["head"]) for row in rows} == {
        (image, name, "mean") for image in ("3", "440") for name in ("first", "second")
    }
    assert len(rows) == 2 * 2 * 16  # the second's positions were carried to the first's size


def test_components_of_patch_tokens_are_drawn_side_by_side_of_swin_too(
    figure, checkpoint_folder, tmp_path
):
    swin = checkpoint_folder("swin", swin=True)
    picture = tmp_path / "a.png"
    code, out, err = figure("pca", swin, "--rows", 3, 9, "--out", picture)
    assert code == 0, err
    assert (
        "principal components of the patch tokens of 2 image(s): MAE Swin digits (block 4, " in out
    )
    assert len(table(picture)) == 2 * 4
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 100


def test_attention_of_a_picture_file_is_drawn_head_by_head(figure, checkpoint_folder, pictures):
    arguments = (
        "--heads",
        "--block",
        1,
        "--files",
        pictures / "cow.png",
        "--out",
        pictures / "a.png",
    )
    code, _, err = figure("attention", checkpoint_folder("first"), *arguments)
    assert code == 0, err
    assert {(row["image"], row["block"], row["head"]) for row in table(pictures / "a.png")} == {
        ("cow", "1", head) for head in ("mean", "1", "2")
    }


def test_reconstructions_are_drawn_under_every_seed(figure, checkpoint_folder, tmp_path):
    first, second = checkpoint_folder("first"), checkpoint_folder("second", seed=1)
    code, out, err = figure(
        "reconstructions",
        first,
        second,
        "--seeds",
        4,
        5,
        "--ratio",
        0.5,
        "--out",
        tmp_path / "r.png",
    )
    assert code == 0, err
    assert out.endswith(
        "of 1 image(s), 8 of 16 patches masked at random, under seeds 4, 5: first, second\n"
    )
    assert [
        (row["image"], row["checkpoint"], row["quantity"], row["seeds"])
        for row in table(tmp_path / "r.png")
    ] == [
        ("224", name, *what)
        for name in ("first", "second")
        for what in (("error", "4"), ("error", "5"), ("disagreement", "4 5"))
    ]


def test_another_data_set_can_be_asked_for(figure, checkpoint_folder, tmp_path):
    code, _, err = figure(
        "attention",
        checkpoint_folder("a"),
        "--data",
        "digits",
        "image_size=16",
        "--out",
        tmp_path / "a.png",
    )
    assert code == 0, err
    assert len(table(tmp_path / "a.png")) == 4 * 4  # four images of four patches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("reconstructions", "{bare}"),
            "{bare}/checkpoints/last.ckpt (a run of ours) has no decoder, so it reconstructs "
            "nothing",
        ),
        (
            ("reconstructions", "{vit}", "--seeds", "1"),
            "--seeds=1: needs two different ones at least",
        ),
        (("reconstructions", "{vit}", "--ratio", "1.5"), "FixedRatio.ratio=1.5 does not fit; "),
        (
            ("reconstructions", "{vit}", "{fine}"),
            "these checkpoints cannot be given the same masks: their patches are ViT 8 x 8, fine 4 "
            "x 4 pixels",
        ),
        (("attention", "{swin}"), "Swin has no cls token that attends to all patches"),
        (("attention", "{vit}", "--block", "3"), "--block=3: MAE ViT digits has blocks 1 to 2"),
        (
            ("attention", "{vit}", "--rows", "450"),
            "--rows=450: Digits holds out 450 images, 0 to 449",
        ),
        (("attention", "{vit}", "--images", "0"), "--images=0; needs 1 at least"),
        (("attention", "{vit}", "{vit}"), "{vit} is given twice"),
        (("attention", "{vit}", "--names", "A", "B"), "--names=A B for 1 checkpoint(s)"),
        (
            ("attention", "{vit}", "--files", "{tmp}/broken.png"),
            "{tmp}/broken.png is no picture that can be read",
        ),
        (("attention", "{vit}", "--files", "{tmp}/none.png"), "there is no {tmp}/none.png"),
        (
            ("attention", "{vit}", "--files", "{tmp}"),
            "{tmp} is a folder; --files takes pictures, {tmp}/*",
        ),
        (
            ("attention", "{vit}", "--data", "digit"),
            "data=digit is not a choice; did you mean 'digits'",
        ),
        (
            ("attention", "{vit}", "--data", "digits", "image_size=no"),
            "data.image_size='no' does not fit",
        ),
        (("attention", "nowhere"), "there is no nowhere"),
    ],
)
def test_a_checkpoint_that_cannot_be_drawn_is_refused_in_one_line(
    figure, checkpoint_folder, pictures, arguments, message
):
    places = {
        "vit": checkpoint_folder("vit"),
        "fine": checkpoint_folder("fine", patch_size=4),
        "bare": checkpoint_folder("bare", without_decoder=True),
        "swin": checkpoint_folder("swin", swin=True),
        "tmp": pictures,
    }
    code, out, err = figure(*(argument.format(**places) for argument in arguments))
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {message.format(**places)}")
    assert err.count("\n") == 1


COMMANDS = sorted(
    {
        re.split(r"\s+#", line)[0]
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
        for line in re.findall(
            r"^[ $]*python -m mim figure ([^\n]+)", page.read_text(), flags=re.MULTILINE
        )
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_is_one_that_is_understood(command):
    given = parser().parse_args(re.sub(r"<[^<>]*>", "some", command).split())
    assert given.name in DRAW


def test_pages_show_every_figure():
    assert {command.split()[0] for command in COMMANDS} == {
        "ratio",
        "epochs",
        "attention",
        "pca",
        "neighbours",
        "reconstructions",
    }


def test_a_data_set_that_has_moved_is_opened_where_the_user_says(
    figure, checkpoint_folder, pictures
):
    folder = checkpoint_folder("moved")
    file = folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    kept = {
        key: content["config"]["data"][key]
        for key in ("augment", "image_size", "batch_size", "seed")
    }
    node = {
        "_target_": "mim.data.image_folder.ImageFolder",
        "root": "/elsewhere",
        "held_out": 0.5,
        "in_memory": True,
    }
    content["config"]["data"] = kept | node
    torch.save(content, file)
    code, _, err = figure("attention", folder)
    assert (code, "trained on data=image_folder in /elsewhere" in err) == (1, True)
    (pictures / "broken.png").unlink()
    Image.new("RGB", (40, 40)).save(pictures / "grey.png")
    code, _, err = figure(
        "attention", folder, "--data", f"root={pictures}", "--out", pictures / "figures" / "a.png"
    )
    assert code == 0, err
    assert len(table(pictures / "figures" / "a.png")) == 16  # one of the two pictures is held out


def test_help_names_every_figure_with_an_example(figure, capsys):
    with pytest.raises(SystemExit):
        figure("--help")
    said = capsys.readouterr().out
    for name in ("ratio", "epochs", "attention", "reconstructions"):
        assert f"python -m mim figure {name} " in said
