"""`eval.py` at the command line: what it prints, writes and refuses."""

import re

import pytest
import torch
from PIL import Image

from tests.slow import slow

QUICK = ("callback=[online_probe,checkpoint,results]", "epochs=1", "warmup_epochs=0")
LIMITS = ("bank_limit=300", "held_out_limit=100")


@pytest.mark.parametrize("precision", ["32-true", slow("bf16-mixed")])
def test_eval_gives_the_online_number_of_the_run(train, command, precision):
    limits = [f"callback.online_probe.{limit}" for limit in LIMITS]
    run = train(*QUICK, *limits, f"trainer.precision={precision}")
    judged = command("eval", f"checkpoint={run.folder}", "evaluate=knn", *LIMITS)
    assert judged.code == 0, judged.err
    assert judged.results["knn/top1"] == run.metrics["knn/top1"]
    low, high = judged.results["knn/top1_interval"]
    assert low < judged.results["knn/top1"] < high
    for of, program in ((run, "train.py"), (judged, "eval.py")):
        assert of.results["program"] == program
        assert (of.results["seed"], of.results["experiment"]) == (0, None)
        assert re.search(r"cores of \w|x NVIDIA", of.results["hardware"])
        assert set(of.results["versions"]) >= {"python", "torch", "timm"}
        assert of.results["wall_seconds"] > 0
    assert judged.results["overrides"][:2] == [f"checkpoint={run.folder}", "evaluate=knn"]
    linear = command("eval", f"checkpoint={run.folder}", "evaluate=linear", *LIMITS)
    assert linear.results["linear/top1"] == run.metrics["linear/top1"]


def test_one_setting_of_the_data_set_of_the_run_can_be_changed(train, command):
    run = train("callback=[checkpoint,results]")
    judged = command("eval", f"checkpoint={run.folder}", "+data.image_size=16", "held_out_limit=20")
    assert judged.code == 0, judged.err
    assert "positions resized from 4 x 4 to 2 x 2" in judged.out


def test_several_checkpoints_pools_and_settings_make_one_table(train, command):
    a, b = (train(*QUICK, f"seed={seed}").folder for seed in (0, 1))
    judged = command(
        "eval",
        f"checkpoint=[{a},{b}]",
        "evaluate=knn",
        "pool=[cls,mean]",
        "evaluate.judge.k=[1,20]",
        *LIMITS,
    )
    assert judged.code == 0, judged.err
    table = judged.results["table"]
    assert [(row["checkpoint"], row["pool"], row["setting"]) for row in table] == [
        (str(run), pool, f"k={k} T=0.07")
        for run in (a, b)
        for pool in ("cls", "mean")
        for k in (1, 20)
    ]
    assert judged.results["knn/top1"] == max(row["top1"] for row in table)
    assert judged.out.count("k=20 T=0.07") == 4


def test_images_without_labels_are_refused_in_a_line(train, command, tmp_path):
    run = train("callback=[checkpoint,results]", "trainer.limit_train_batches=1", *QUICK[1:])
    for number in range(4):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"{number}.png")
    judged = command(
        "eval",
        f"checkpoint={run.folder}",
        "data=image_folder",
        f"data.root={tmp_path}",
        "data.image_size=32",
    )
    assert judged.code == 1
    assert judged.err.startswith(
        "error: ImageFolder has no labels, and evaluate=knn needs them; choose "
    )
    assert judged.err.count("\n") == 1


@pytest.fixture
def run(train):
    return train(
        "callback=[checkpoint,results]", "trainer.limit_train_batches=2", *QUICK[1:]
    ).folder


def test_a_probe_of_many_heads_at_the_command_line(run, command):
    asked = (
        "evaluate=probe",
        "pool=[cls,mean,abmilp,ca2]",
        "evaluate.lr=[1e-3,1e-2]",
        "evaluate.epochs=2",
        *LIMITS,
    )
    judged = command(
        "eval", f"checkpoint={run}", *asked, "+pool@pool.deep=abmilp", "pool.deep.depth=2"
    )
    assert judged.code == 0, judged.err
    table = judged.results["table"]
    assert [row["pool"] for row in table[::2]] == ["cls", "mean", "abmilp", "ca2", "deep"]
    best = max(table, key=lambda row: row["top1"])
    assert judged.results["probe/top1"] == best["top1"]
    assert judged.results["best"] == f"pool={best['pool']} {best['setting']}"
    assert len(best["classes"]) == 10
    assert (
        best["top1_interval"][0]
        <= best["top1"]
        <= best["top1_interval"][1]
        <= best["top5_interval"][1]
    )
    again = command("eval", f"checkpoint={run}", *asked)
    assert again.results["table"] == table[:8]


@pytest.mark.parametrize(
    "asked",
    [
        ("evaluate=logistic", "evaluate.judge.C=[0.1,1]"),
        ("evaluate=low_shot", "evaluate.shots=[1,2]", "judge@evaluate.judge=knn"),
        ("evaluate=knn", "block=2", "norm=false", "pool=[lowest_entropy,cp2]", "cache=null"),
    ],
)
def test_classifiers_at_the_command_line(run, command, asked):
    judged = command("eval", f"checkpoint={run}", *asked, *LIMITS)
    assert judged.code == 0, judged.err
    assert len(judged.results["table"]) == 2
    assert 0 < judged.results[f"{asked[0].removeprefix('evaluate=')}/top1"] <= 1


def test_the_official_probe_at_the_command_line(run, command):
    short = (
        "evaluate.epochs=2",
        "evaluate.warmup_epochs=1",
        "evaluate.batch_size=256",
        "held_out_limit=100",
    )
    judged = command("eval", f"checkpoint={run}", "evaluate=probe_mae", "pool=[cls,abmilp]", *short)
    assert judged.code == 0, judged.err
    assert "epoch 2/2  loss " in judged.out
    assert len(judged.results["table"]) == 2


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ("evaluate=knn", "pool=attentive"),
            "pool=attentive has weights of its own, which only a probe trains",
        ),
        (("evaluate=probe", "block=5"), "block=5 of ViT cannot be looked at: it has blocks 1 to 4"),
        (
            ("evaluate=probe", "pool=cp4", "evaluate.lr=[]"),
            "evaluate.lr=[] does not fit; it should be 1 or more numbers",
        ),
        (("evaluate=knn", "pool=oracle"), "whose attention? give a checkpoint that has some"),
        (("evaluate=low_shot", "evaluate.shots=1000"), "shots=1000, but a class has only"),
        (
            ("evaluate=probe_mae",),
            "evaluate.batch_size=16384 is more than the 1,347 training images of Digits; the "
            "largest that fits is "
            "evaluate.batch_size=1024",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(run, command, asked, said):
    judged = command("eval", f"checkpoint={run}", *asked, "held_out_limit=100")
    assert judged.code == 1
    assert judged.err.startswith("error: ")
    assert said in judged.err
    assert judged.err.count("\n") == 1


def test_a_checkpoint_without_an_encoder_and_an_encoder_without_cls_are_refused(
    train, command, tmp_path
):
    torch.save({"state_dict": {"head.weight": torch.zeros(2, 2)}}, tmp_path / "head.ckpt")
    judged = command("eval", f"checkpoint={tmp_path / 'head.ckpt'}", "data=digits")
    assert (judged.code, judged.err.count("\n")) == (1, 1)
    assert "head.ckpt" in judged.err
    swin = train(
        "model=simmim",
        "encoder=swin_pico",
        "callback=[checkpoint,results]",
        "trainer.limit_train_batches=1",
        *QUICK[1:],
    )
    judged = command("eval", f"checkpoint={swin.folder}", "evaluate=probe", "pool=cls", *LIMITS)
    assert judged.err.startswith("error: Cls needs a cls token, which Swin has not; take pool=mean")
    assert command("eval", f"checkpoint={swin.folder}", "pool=mean", *LIMITS).code == 0
