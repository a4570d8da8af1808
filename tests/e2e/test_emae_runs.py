"""EMAE as a user runs it."""

from pathlib import Path

import pytest

from tests.slow import slow

ROOT = Path(__file__).parents[2]
EMAE = ["masker=emae", "loss=emae", "callback=[checkpoint,results]", "debug=limit"]


def test_each_term_is_logged_under_its_own_name(train):
    run = train(
        *EMAE,
        "loss.weight.consistency=0.5",
        "callback=[results,reconstructions]",
        "watch_every_n_epochs=2",
    )
    assert run.code == 0, run.err
    total, pixel, consistency = (
        run.metrics[f"train/{name}"] for name in ("loss", "pixel", "consistency")
    )
    assert total == pytest.approx(pixel + consistency / 2, rel=1e-6)
    assert consistency > 0
    assert list(run.folder.glob("pictures/reconstruction_*.png"))


@pytest.mark.slow
def test_before_and_after_are_one_picture_also_of_a_resumed_run(train, stopped_after):
    pictured = (
        "masker=emae",
        "loss=emae",
        "callback=[checkpoint,interruption,reconstructions_of_parts]",
        "debug=limit",
    )
    stopped = stopped_after(4, *pictured)  # in the second epoch
    resumed = train(*pictured, f"resume={stopped.folder}")
    assert resumed.code == 0, resumed.err
    drawn = {
        path.name
        for run in (stopped, resumed)
        if run.folder
        for path in run.folder.glob("pictures/*")
    }
    assert drawn == {
        "consistency_0000.png",
        "consistency_0001.png",
        "consistency_0002.png",
        "consistency.png",
    }
    state = resumed.checkpoint["callbacks"]["Reconstructions[consistency]"]
    assert state["untrained"].shape == (3, 4, 12, 192)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["masker=emae", "masker.partition.parts=3"],
            "3 parts cannot share 16 patches equally; masker.partition.parts may be 2, 4, 8, 16",
        ),
        (
            ["loss=emae"],
            "Consistency compares what several parts of an image predict, and this masker makes 1",
        ),
        (
            ["masker=emae", "loss=consistency"],
            "Consistency alone does not say how many values a patch has",
        ),
        (["loss=hog", "loss.target.cells=3"], "target.cells may be 1, 2, 4, 8"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(train, overrides, message):
    run = train(*overrides, "debug=limit", "callback=[]")
    assert run.code == 1
    assert message in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("loss", ["hog", slow("frequency"), slow("pixel")])
def test_every_target_trains_with_parts(train, loss):
    assert (
        train(f"loss={loss}", "masker=emae", "debug=limit", "callback=[results]").metrics[
            "train/loss"
        ]
        > 0
    )
