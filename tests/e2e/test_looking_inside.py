"""`eval.py evaluate=attention_statistics` and `evaluate=embedding`: what they leave behind, and
what they refuse.
"""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from mim.analysis.attention_stats import HeadStatistics, UpdateStatistics

QUICK = (
    "callback=[checkpoint,results]",
    "epochs=1",
    "warmup_epochs=0",
    "trainer.limit_train_batches=2",
)


def is_drawn_on(picture) -> bool:
    """Whether a picture shows more than its paper, and is not all ink."""
    shown = np.asarray(Image.open(picture).convert("L"))
    return 0.01 < (shown < 250).mean() < 0.9


def test_two_checkpoints_in_one_figure_of_attention(train, command):
    mae = train(*QUICK).folder
    simmim = train(*QUICK, "model=simmim", "encoder=beit_pico").folder
    judged = command(
        "eval", f"checkpoint=[{mae},{simmim}]", "evaluate=attention_statistics",
        "held_out_limit=50", "evaluate.names=[MAE,SimMIM]",
        "logger=csv",
    )  # fmt: skip
    assert judged.code == 0, judged.err
    assert is_drawn_on(judged.folder / "attention_stats.png")
    assert (judged.folder / "attention_stats.pdf").read_bytes().startswith(b"%PDF")

    models = json.loads((judged.folder / "statistics.json").read_text())
    assert [(model["name"], model["images"], model["grid"]) for model in models] == [
        ("MAE", 50, [4, 4]),
        ("SimMIM", 50, [4, 4]),
    ]
    for model in models:
        statistics = model["statistics"]
        assert set(statistics) == {*HeadStatistics._fields, *UpdateStatistics._fields}
        for values in statistics.values():
            assert len(values["mean"]) == len(values["std_over_images"]) == 4
        for to_self, to_patch in zip(
            statistics["cls_to_cls"]["mean"], statistics["cls_to_patch"]["mean"], strict=True
        ):
            assert to_self + 16 * to_patch == pytest.approx(1, abs=1e-5)

    first, second = judged.results["table"]
    assert (first["model"], first["block"], second["model"]) == ("MAE", 4, "SimMIM")
    assert first["distance"] == models[0]["statistics"]["distance"]["mean"][-1]
    assert f"{second['cls_entropy']:.4f}" in judged.out
    assert "pruned" not in judged.out  # what the library that embeds fonts would tell
    column = judged.column("by_block/MAE/cls_entropy")
    assert [float(value) for value in column.values()] == pytest.approx(
        models[0]["statistics"]["cls_entropy"]["mean"]
    )


@pytest.mark.slow
def test_attention_is_measured_alike_in_batches_of_any_size(train, command):
    run = train(*QUICK).folder

    def measured(*overrides):
        judged = command(
            "eval",
            f"checkpoint={run}",
            "evaluate=attention_statistics",
            "held_out_limit=30",
            *overrides,
        )
        assert judged.code == 0, judged.err
        return json.loads((judged.folder / "statistics.json").read_text())[0]["statistics"][
            "distance"
        ]["heads"]

    assert np.allclose(
        measured("data=digits", "data.batch_size=30"), measured("data=digits", "data.batch_size=7")
    )


def test_windows_and_impossible_settings_are_refused_in_a_line(train, command):
    swin = train(*QUICK, "model=simmim", "encoder=swin_pico").folder
    for overrides, said in (
        (
            [],
            "error: Swin has no cls token that attends to all patches, so its attention has no "
            "such statistics; give a ",
        ),
        (
            ["held_out_limit=0"],
            "error: held_out_limit=0 does not fit; it should be at least 1",
        ),
        (
            ["evaluate.names=[a,b]"],
            "error: evaluate.names=['a', 'b'] for 1 checkpoint(s); give each one a name of its own",
        ),
    ):
        judged = command("eval", f"checkpoint={swin}", "evaluate=attention_statistics", *overrides)
        assert judged.code == 1
        assert said in judged.err
        assert judged.err.count("\n") == 1


def test_features_become_points_with_the_colours_of_their_classes(train, command):
    run = train(*QUICK).folder
    judged = command(
        "eval", f"checkpoint={run}", "evaluate=embedding", "pool=[cls,mean]", "evaluate.limit=60",
        "evaluate.classes=3",
        "evaluate.projection.perplexity=10",
    )  # fmt: skip
    assert judged.code == 0, judged.err
    assert is_drawn_on(judged.folder / "embedding.png")
    with (judged.folder / "embedding.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == 2 * 60
    assert {line["class"] for line in lines} == {"0", "1", "2"}
    assert len({(line["panel"], line["image"]) for line in lines}) == 120
    assert {line["panel"].rpartition(", ")[2] for line in lines} == {"cls", "mean"}
    assert [(row["pool"], row["images"]) for row in judged.results["table"]] == [
        ("cls", 60),
        ("mean", 60),
    ]
    assert all(0 <= row["neighbour_of_same_class"] <= 1 for row in judged.results["table"])

    few = command("eval", f"checkpoint={run}", "evaluate=embedding", "evaluate.limit=20")
    assert few.err == (
        "error: t-SNE got 20 images and perplexity=30; needs more images than that: lower "
        "evaluate.projection.perplexity, "
        "or raise evaluate.limit\n"
    )
    none = command("eval", f"checkpoint={run}", "evaluate=embedding", "block=5")
    assert none.err.startswith("error: block=5 of ViT cannot be looked at: it has blocks 1 to 4")


def test_images_without_labels_are_drawn_in_grey(train, command, tmp_path):
    run = train(*QUICK).folder
    for number in range(64):
        Image.new("RGB", (32, 32), (4 * number, 0, 255 - 4 * number)).save(
            tmp_path / f"{number}.png"
        )
    judged = command(
        "eval", f"checkpoint={run}", "evaluate=embedding", "data=image_folder",
        f"data.root={tmp_path}", "data.image_size=32",
        "data.held_out=0.5", "evaluate.projection.perplexity=5",
    )  # fmt: skip
    assert judged.code == 0, judged.err
    assert "neighbour_of_same_class" not in judged.results["table"][0]
    assert is_drawn_on(judged.folder / "embedding.png")
