"""Pixels and histograms of gradients, each by a decoder of its own on one encoder, as a user runs
it.
"""

import pytest
import torch
from safetensors.torch import load_file

from mim.__main__ import main

BOTH = (
    "loss=pixel_and_hog",
    "debug=limit",
    "callback=[checkpoint,interruption,reconstructions,results]",
)


def mim(*arguments: object) -> None:
    """`python -m mim ...`."""
    main([str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mae", "simmim"])
def test_a_stopped_run_goes_on_bit_for_bit(train, stopped_after, model):
    settings = (*BOTH, f"model={model}", "loss.weight.hog=0.5")
    whole, stopped = train(*settings), stopped_after(4, *settings)
    resumed = train(*settings, f"resume={stopped.folder}")
    assert (whole.code, resumed.code) == (0, 0), resumed.err
    for name in ("train/loss", "train/pixel", "train/hog"):
        values = whole.column(name)
        assert stopped.column(name) | resumed.column(name) == values
    total, pixel, hog = (whole.metrics[f"train/{name}"] for name in ("loss", "pixel", "hog"))
    assert total == pytest.approx(pixel + hog / 2, rel=1e-6)
    before, after = whole.checkpoint["state_dict"], resumed.checkpoint["state_dict"]
    assert any(name.startswith("model.decoders.hog.") for name in before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert list(whole.folder.glob("pictures/reconstruction_*.png"))


@pytest.mark.slow
def test_what_it_learned_is_used_like_that_of_any_other_run(train, tmp_path):
    run = train(*BOTH)
    mim("convert", run.folder, tmp_path / "mae.pth", "--to", "mae")
    official = torch.load(tmp_path / "mae.pth", weights_only=True)["model"]
    trained = run.checkpoint["state_dict"]
    assert torch.equal(official["decoder_pred.weight"], trained["model.decoder.predict.weight"])
    mim("convert", run.folder, tmp_path / "all.safetensors", "--to", "safetensors")
    assert "decoders.hog.predict.weight" in load_file(tmp_path / "all.safetensors")
    mim("export", run.folder, tmp_path / "encoder.pt2", "--to", "program")
    mim("figure", "reconstructions", run.folder, "--images", 2, "--out", tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000
    again = train(*BOTH, f"checkpoint={run.folder}")
    assert "decoder 32 of 32, decoders.hog 32 of 32" in again.out
    assert again.metrics["train/hog"] < run.metrics["train/hog"]


@pytest.mark.slow
def test_two_processes_train_like_one_and_have_no_parameter_without_a_gradient(train, train_by_two):
    settings = ("loss=pixel_and_hog", "debug=limit", "callback=[checkpoint,results]")
    one, two = train(*settings), train_by_two(*settings, "data.batch_size=64")
    for name in ("train/pixel", "train/hog"):
        theirs = two.column(name)
        assert all(
            abs(float(value) - float(theirs[step])) < 1e-5
            for step, value in one.column(name).items()
        )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["+loss.weight.low=1"],
            "WeightedSum got the terms pixel, hog and weights for pixel, hog, low; each term needs "
            "one",
        ),
        (
            ["~loss.weight.hog"],
            "WeightedSum got the terms pixel, hog and weights for pixel; each term needs one",
        ),
        (
            ["loss.term.hog.target.cells=3"],
            "HOG cannot cut a patch of 8 x 8 pixels into 3 x 3 cells",
        ),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(train, overrides, message):
    run = train("loss=pixel_and_hog", *overrides, "debug=limit", "callback=[]")
    assert run.code == 1
    assert message in run.err
    assert run.err.count("\n") == 1


def test_the_term_that_another_one_looks_at_has_to_be_there(train):
    run = train(
        "loss=emae", "masker=emae", "loss.term.consistency.of=hog", "debug=limit", "callback=[]"
    )
    assert "loss.term.consistency.of=hog names no term that predicts; allowed: pixel" in run.err
    assert run.code == 1
