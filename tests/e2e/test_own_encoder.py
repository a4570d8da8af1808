"""An encoder that is written outside of the project, in a module of the user's, goes wherever ours
go.
"""

import re
import shutil
from pathlib import Path

import pytest

from mim.command import figure
from mim.program.figure import parser
from tests.slow import slow

ROOT = Path(__file__).parents[2]
MODULE = Path(__file__).with_name("my_encoder.py")
OWN = "encoder._target_=theirs.Registers"
QUICK = (
    "data.batch_size=200",
    "callback.online_probe.bank_limit=200",
    "callback.online_probe.held_out_limit=100",
)
LIMITS = ("bank_limit=200", "held_out_limit=100")


@pytest.fixture(autouse=True)
def theirs(tmp_path, monkeypatch):
    """Their module, in a folder of theirs that is on the path."""
    folder = tmp_path / "their_project"
    folder.mkdir()
    shutil.copy(MODULE, folder / "theirs.py")
    monkeypatch.syspath_prepend(folder)


def test_their_module_is_short():
    assert len(MODULE.read_text().splitlines()) <= 60


@pytest.fixture
def run(train):
    outcome = train(OWN, *QUICK)
    assert outcome.code == 0, outcome.err
    return outcome


def test_it_trains_and_is_drawn_and_judged_on_the_way(run):
    assert "encoder._target_=theirs.Registers" in run.results["overrides"]
    assert 0 < run.metrics["knn/top1"] <= 1
    assert list((run.folder / "pictures").glob("reconstruction_*.png"))


@pytest.mark.slow
def test_it_is_resumed_bit_for_bit(run, stopped_after, train):
    stopped = stopped_after(3, OWN, *QUICK)
    resumed = train(OWN, *QUICK, f"resume={stopped.folder}")
    assert resumed.code == 0, resumed.err
    whole, rest = (outcome.column("train/loss") for outcome in (run, resumed))
    assert rest
    assert rest == {step: loss for step, loss in whole.items() if step in rest}


@pytest.mark.parametrize(
    "model",
    [
        slow(("masker=sbam",)),
        ("model=simmim", "masker=sbam"),
        slow(("masker=am", "callback.refresh_attention.every_n_epochs=1")),
    ],
)
def test_it_trains_with_every_model_and_with_maskers_that_pad_or_look(train, model):
    outcome = train(
        OWN, *model, "callback=[refresh_attention,checkpoint,results]", "data.batch_size=450"
    )
    assert outcome.code == 0, outcome.err


def test_it_is_judged_where_the_command_line_names_it_and_nowhere_else(run, command):
    judge = ("eval", f"checkpoint={run.folder}", *LIMITS)
    judged = command(*judge, OWN, "evaluate=knn", "pool=[mean,cls,mean_attention,ca1]")
    assert judged.code == 0, judged.err
    by_pool = {row["pool"]: row["top1"] for row in judged.results["table"]}
    assert len(by_pool) == 4
    probed = command(*judge, OWN, "evaluate=probe", "pool=[abmilp,cls]", "evaluate.epochs=1")
    assert probed.code == 0, probed.err
    stats = command(
        "eval",
        f"checkpoint={run.folder}",
        OWN,
        "evaluate=attention_statistics",
        "evaluate.limit=20",
    )
    assert stats.code == 0, stats.err
    assert 0 < stats.results["table"][0]["cls_to_cls"] < 1
    for named in (
        (),
        ("encoder._target_=mim.encoder.vit.ViT",),
        ("encoder._target_=theirs.Others",),
    ):
        refused = command(*judge, *named, "evaluate=knn")
        assert refused.code == 1
        assert refused.err.startswith("error: ")
        assert refused.err.count("\n") == 1
    assert (
        "wants to build theirs.Registers; only what mim.encoder.* defines"
        in command(*judge, "evaluate=knn").err
    )
    surplus = command(*judge, OWN, "+encoder.width=3", "evaluate=knn")
    assert "encoder.width" in surplus.err


@pytest.mark.slow
def test_it_is_fine_tuned_from_its_checkpoint_and_judged_as_a_classifier(run, train, command):
    tuned = train(
        OWN,
        "task=finetune",
        f"checkpoint={run.folder}",
        "callback=[checkpoint,results]",
        "data.batch_size=450",
    )
    assert tuned.code == 0, tuned.err
    assert re.search(r"encoder (\d+) of \1 tensors", tuned.out)
    judged = command(
        "eval", f"checkpoint={tuned.folder}", OWN, "evaluate=classifier", "held_out_limit=50"
    )
    assert judged.code == 0, judged.err


@pytest.mark.parametrize("name", ["attention", slow("reconstructions")])
def test_figures_are_drawn_of_it(run, name, tmp_path):
    out = tmp_path / f"{name}.png"
    asked = [name, str(run.folder), "--images", "1", "--out", str(out)]
    figure.run(parser().parse_args([*asked, "--encoder", "theirs.Registers"]), ROOT / "configs")
    assert out.exists()
    with pytest.raises(ValueError, match=r"wants to build theirs\.Registers"):
        figure.run(parser().parse_args(asked), ROOT / "configs")
