"""A training with a teacher, as a user runs it: stopped and resumed, judged, opened, refused."""

import pytest
import torch

import mim

TAUGHT = (
    "loss=features",
    "teacher=ema",
    "teacher.momentum=0.5",
    "loss.target.blocks=2",
    "debug=limit",
)


def test_a_stopped_run_goes_on_bit_for_bit_and_both_are_opened(train, stopped_after, command):
    settings = (
        *TAUGHT,
        "callback=[weight_average,checkpoint,interruption,results]",
        "data.batch_size=449",
    )
    whole, stopped = train(*settings), stopped_after(4, *settings)
    resumed = train(*settings, f"resume={stopped.folder}")
    assert (whole.code, resumed.code) == (0, 0), resumed.err
    values = whole.column("train/loss")
    assert stopped.column("train/loss") | resumed.column("train/loss") == values
    before, after = whole.checkpoint["state_dict"], resumed.checkpoint["state_dict"]
    assert any(name.startswith("teacher.encoder.") for name in before)
    assert all(torch.equal(value, after[name]) for name, value in before.items())

    teacher, student = (mim.load(f"{which}{whole.folder}") for which in ("teacher:", ""))
    assert "its teacher" in teacher.describe()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[f"teacher.encoder.{name}"])
    assert not torch.equal(teacher.patch_embed.proj.weight, student.patch_embed.proj.weight)
    judged = command(
        "eval",
        f"checkpoint=[{whole.folder},teacher:{whole.folder}]",
        "evaluate=knn",
        "bank_limit=100",
    )
    assert judged.code == 0, judged.err
    rows = judged.results["table"]
    assert len(rows) == 2


@pytest.mark.slow
def test_a_run_that_tells_images_apart_goes_on_bit_for_bit(train, stopped_after):
    """CMAE: the teacher's projection comes back too, or the next loss would be another."""
    settings = (
        *("model=cmae", "model.projector.hidden=16", "model.predictor.hidden=16", "debug=limit"),
        *("augment@data.augment=shifted_pair", "data.augment.margin=4", "data.augment.shift=4"),
        *(
            "callback=[checkpoint,interruption,results]",
            "data.batch_size=449",
            "teacher.momentum=0.5",
        ),
    )
    whole, stopped = train(*settings), stopped_after(4, *settings)
    resumed = train(*settings, f"resume={stopped.folder}")
    assert (whole.code, resumed.code) == (0, 0), resumed.err
    values = whole.column("train/loss")
    assert stopped.column("train/loss") | resumed.column("train/loss") == values


def test_the_online_probe_judges_student_teacher_or_both(train):
    probe = ("callback=[online_probe,results,announce]", "callback.online_probe.bank_limit=60")
    both = train(*TAUGHT, *probe, "callback.online_probe.of=[student,teacher]")
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
