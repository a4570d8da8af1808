"""`eval.py` at the command line: what it prints, writes and refuses."""

import pytest
from PIL import Image

QUICK = ("callback=[online_probe,checkpoint,results]", "epochs=1", "warmup_epochs=0")
LIMITS = ("bank_limit=300", "held_out_limit=100")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_eval_gives_the_online_number_of_the_run(train, command, precision):
    limits = [f"callback.online_probe.{limit}" for limit in LIMITS]
    run = train(*QUICK, *limits, f"trainer.precision={precision}")
    judged = command("eval", f"checkpoint={run.folder}", "task=knn", *LIMITS)
    assert judged.code == 0, judged.err
    assert judged.results["knn/top1"] == run.metrics["knn/top1"]
    linear = command("eval", f"checkpoint={run.folder}", "task=linear", *LIMITS)
    assert linear.results["linear/top1"] == run.metrics["linear/top1"]


def test_several_checkpoints_pools_and_settings_make_one_table(train, command):
    a, b = (train(*QUICK, f"seed={seed}").folder for seed in (0, 1))
    judged = command("eval", f"checkpoint=[{a},{b}]", "task=knn", "pool=[cls,mean]", "task.judge.k=[1,20]", *LIMITS)
    assert judged.code == 0, judged.err
    table = judged.results["table"]
    assert [(row["checkpoint"], row["pool"], row["setting"]) for row in table] == [
        (str(run), pool, f"k={k} T=0.07") for run in (a, b) for pool in ("cls", "mean") for k in (1, 20)
    ]
    assert judged.results["knn/top1"] == max(row["top1"] for row in table)
    assert judged.out.count("k=20 T=0.07") == 4


def test_images_without_labels_are_refused_in_a_line(train, command, tmp_path):
    run = train("callback=[checkpoint,results]", "trainer.limit_train_batches=1", *QUICK[1:])
    for number in range(4):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"{number}.png")
    judged = command(
        "eval", f"checkpoint={run.folder}", "data=image_folder", f"data.root={tmp_path}", "data.image_size=32"
    )
    assert judged.code == 1
    assert judged.err.startswith("error: ImageFolder has no labels, and task=knn needs them; choose ")
    assert judged.err.count("\n") == 1
