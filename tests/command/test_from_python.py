"""`mim.compose`, `mim.train`, `mim.evaluate`: what the commands do, from Python."""

import json
import re
import signal

import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

import mim
from mim.command.from_python import written

SHORT = (
    "epochs=1",
    "warmup_epochs=0",
    "trainer.accelerator=cpu",
    "trainer.limit_train_batches=2",
    "callback=[checkpoint,results,interruption]",
    "encoder.width=16",
    "encoder.depth=1",
    "model.decoder.width=16",
    "model.decoder.depth=1",
)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MIM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "runs"


def test_a_run_is_composed_trained_opened_and_judged(runs, capsys):
    before = signal.getsignal(signal.SIGINT)
    cfg = mim.compose(*SHORT)
    other = mim.compose(*SHORT, "seed=1")  # a later config changes nothing of an earlier one
    assert cfg.paths.run != other.paths.run
    cfg.masker.partition.ratio = 0.5
    run = mim.train(cfg)
    assert run.folder.parent == runs / "mae_vit_pico_random_digits"
    assert run.results == json.loads((run.folder / "results.json").read_text())
    assert (run.results["status"], run.results["steps"]) == ("finished", 2)
    assert run.results["overrides"] == list(SHORT)
    assert signal.getsignal(signal.SIGINT) is before

    encoder = run.encoder
    assert encoder.width == 16
    assert encoder.classes == tuple("0123456789")
    assert [round(value, 3) for value in encoder.mean] == [0.305] * 3
    assert mim.features(encoder, torch.zeros(2, 3, 32, 32)).shape == (2, 16)

    row = mim.evaluate(
        run.folder,
        "knn",
        pool=["cls", "mean"],
        bank_limit=100,
        held_out_limit=50,
        accelerator="cpu",
    )
    assert row["evaluate"] == "knn"
    assert {line["pool"] for line in row["table"]} == {"cls", "mean"}
    assert 0 <= row["knn/top1"] <= 1
    with pytest.raises(ValueError, match="has no head that tells classes apart"):
        mim.evaluate(run.folder, "classifier", accelerator="cpu")


def test_a_run_without_callbacks_leaves_no_results(runs):
    assert mim.train(mim.compose(*SHORT, "callback=[]")).results == {}


def test_what_a_part_refuses_when_it_is_built_is_the_line_of_the_command(runs):
    cfg = mim.compose(*SHORT, "model.decoder.heads=3")
    with pytest.raises(ValueError, match="Decoder got width=16, heads=3; the heads") as refused:
        mim.train(cfg)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["maskr=random"], "did you mean 'masker'"),
        (["masker=rnadom"], "masker=rnadom is not a choice; did you mean 'random'"),
        (["epochs=lots"], "lots"),
        (["+epoch=3"], "epoch=3 would do nothing"),
        (["evaluate=knn"], "evaluate=knn is for eval.py"),
        (["task=knn"], "task=knn is for eval.py: python eval.py evaluate=knn checkpoint=..."),
    ],
)
def test_what_cannot_be_is_said_in_the_line_of_the_command(overrides, said):
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        mim.compose(*overrides)
    assert "\n" not in str(refused.value)


def test_values_that_are_changed_are_checked_too(runs):
    cfg = mim.compose(*SHORT)
    cfg.masker.cell = "two"
    with pytest.raises(ValueError, match=r"masker.cell='two' does not fit"):
        mim.train(cfg)
    with pytest.raises(ValueError, match=r"trains in this process, and trainer= asks for 2"):
        mim.train(mim.compose(*SHORT, "trainer.devices=2"))
    with pytest.raises(FileNotFoundError):
        mim.evaluate(runs / "nowhere")


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 1000),
    st.floats(-1e6, 1e6),
    st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12),
)


@given(st.one_of(plain, st.lists(plain, max_size=3)))
def test_any_value_survives_the_command_line(value):
    (override,) = OverridesParser.create().parse_overrides([f"a={written(value)}"])
    read = override.value()
    unquoted = [
        getattr(each, "text", each) for each in (read if isinstance(read, list) else [read])
    ]
    assert unquoted == (value if isinstance(value, list) else [value])


def test_what_no_command_line_has_is_refused():
    with pytest.raises(ValueError, match="a set is no setting"):
        mim.evaluate("run", data={1})
