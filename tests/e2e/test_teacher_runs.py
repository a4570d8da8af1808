"""A training with a teacher, as a user runs it: stopped and resumed, judged, opened, refused."""

import pytest
import torch

import mim
from mim.__main__ import main
from tests.slow import quick
from tests.teacher.taught import TAUGHT, run_of

FEATURES = (
    "loss=features",
    "teacher=ema",
    "teacher.momentum=0.5",
    "loss.target.blocks=2",
    "debug=limit",
)
PAINTED = ("BootMAE", "CMAE", "CAE")  # by their term of pixels
WATCHED = (
    "callback=[weight_average,online_probe,reconstructions,checkpoint,interruption,results]",
    *("callback.online_probe.bank_limit=60", "callback.online_probe.held_out_limit=60"),
    *("callback.online_probe.of=[student,teacher]", "~callback.online_probe.judges.linear"),
    *("callback.reconstructions.count=1", "watch_every_n_epochs=2"),
)


@pytest.mark.parametrize("name", quick(TAUGHT, "data2vec"))
def test_a_stopped_run_goes_on_bit_for_bit_and_both_are_judged_opened_and_exported(
    train, stopped_after, command, tmp_path, name
):
    """In bf16, with two batches a step; what can be drawn is drawn."""
    settings = (
        *(*run_of(name), *WATCHED, "trainer.precision=bf16-mixed"),
        *("debug=limit", "data.batch_size=128"),
        *("trainer.limit_train_batches=6", "trainer.accumulate_grad_batches=2"),
    )
    whole, stopped = train(*settings), stopped_after(4, *settings)
    resumed = train(*settings, f"resume={stopped.folder}")
    assert (whole.code, resumed.code) == (0, 0), resumed.err
    values = whole.column("train/loss")
    assert whole.results["steps"] == 6
    assert stopped.column("train/loss") | resumed.column("train/loss") == values
    before, after = whole.checkpoint["state_dict"], resumed.checkpoint["state_dict"]
    assert any(key.startswith("teacher.encoder.") for key in before)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert {"knn/top1", "knn/top1_teacher"} <= whole.metrics.keys()
    assert bool(list(whole.folder.glob("pictures/*.png"))) == (name in PAINTED)

    for which, prefix in (("", "model"), ("teacher:", "teacher")):
        opened, file = mim.load(f"{which}{whole.folder}"), tmp_path / f"{prefix}.pt2"
        assert ("its teacher" in opened.describe()) == bool(which)
        for key, value in opened.state_dict().items():
            assert torch.equal(value, before[f"{prefix}.encoder.{key}"])
        assert main(["export", f"{which}{whole.folder}", str(file), "--to", "program"]) == 0
        image = torch.rand(2, 3, 32, 32)
        found = torch.export.load(file).module()(image)
        assert torch.allclose(found, opened(image), atol=1e-5)
    assert any(
        not torch.equal(value, before[key.replace("teacher", "model")])
        for key, value in before.items()
        if key.startswith("teacher.encoder.")
    )
    both = f"checkpoint=[{whole.folder},teacher:{whole.folder}]"
    judged = command("eval", both, "evaluate=knn", "bank_limit=100", "held_out_limit=100")
    assert judged.code == 0, judged.err
    assert len(judged.results["table"]) == 2


def test_the_online_probe_judges_student_teacher_or_both(train):
    probe = ("callback=[online_probe,results,announce]", "callback.online_probe.bank_limit=60")
    both = train(*FEATURES, *probe, "callback.online_probe.of=[student,teacher]")
    assert both.code == 0, both.err
    assert {"knn/top1", "knn/top1_teacher", "knn/top1_untrained"} <= both.metrics.keys()
    assert "teacher       average of the student's encoder, momentum 0.5" in both.out


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=features"], "there is no teacher; add teacher=ema"),
        (["teacher=ema"], "teacher=ema would follow the model and nothing looks at it"),
        (
            ["loss=features", "teacher=ema", "teacher.momentum=1.5"],
            "teacher.momentum=1.5 does not fit",
        ),
        (
            ["loss=features", "teacher=ema", "teacher.of=[decoder]"],
            "needs the encoder, and can average",
        ),
        (["loss=features", "teacher=ema", "loss.error=l2"], "loss.beta=2 is of error=smooth_l1"),
        (
            ["loss=features", "teacher=ema", "loss.target.each=[layr]"],
            "loss.target.each=['layr'] does not fit",
        ),
        (
            ["callback=[online_probe]", "callback.online_probe.of=[teacher]"],
            "callback.online_probe.of=[teacher] judges a teacher, and there is none",
        ),
        (["checkpoint=teacher:tests/golden"], "no"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(train, overrides, message):
    run = train("debug=limit", "callback=[]", *overrides)
    assert run.code == 1
    assert message in run.err
    assert run.err.count("\n") == 1


def test_a_run_without_a_teacher_has_none_to_open(tmp_path):
    file = tmp_path / "run.ckpt"
    torch.save(
        {"state_dict": {"model.encoder.patch_embed.proj.weight": torch.zeros(8, 3, 4, 4)}}, file
    )
    with pytest.raises(
        ValueError, match=r"run\.ckpt has no teacher; teacher:<checkpoint> is of a run"
    ):
        mim.load(f"teacher:{file}")
