"""Fine-tuning at the command line: what it leaves, resumes, refuses, and what it counts."""

import random
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchmetrics.functional.classification import multiclass_accuracy

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.pool.simple import Mean
from mim.weights.load import load_checkpoint_into
from tests.slow import slow

ROOT = Path(__file__).parents[2]
MIX = (
    "task.mix={_target_: timm.data.mixup.Mixup, _partial_: true, mixup_alpha: 0.8, cutmix_alpha: "
    "1.0}"
)
ERASE = (
    "task.erase={_target_: timm.data.random_erasing.RandomErasing, _partial_: true, probability: "
    "0.5, mode: pixel}"
)
AUGMENT = ("augment@data.augment=finetune", "+data.num_workers=0")
QUIET = "callback=[checkpoint,results]"


@pytest.fixture
def pretrained(train) -> Path:
    return train(QUIET, "epochs=1", "warmup_epochs=0", "trainer.limit_train_batches=2").folder


def test_a_run_is_fine_tuned_judged_by_eval_and_started_from(train, command, pretrained):
    run = train("task=finetune", f"checkpoint={pretrained}", "epochs=6")
    assert run.code == 0, run.err
    assert "encoder 52 of 52 tensors, its norm left out" in run.out
    assert "left over: decoder." in run.out
    assert "in 6 layers down to" in run.out
    assert "masking" not in run.out
    assert "label smoothing 0.1, images not mixed, none erased" in run.out
    assert run.metrics["val/top1_best"] >= run.metrics["val/top1"] > 0.3
    assert run.metrics["val/top5"] > run.metrics["val/top1"]
    assert f"top-1         {run.metrics['val/top1']:.3f}" in run.out
    assert len(run.column("val/top1")) == 6
    low, high = run.results["intervals"]["val/top1"]
    assert low < run.metrics["val/top1"] < high
    assert high - low < 0.1  # of 450 images

    judged = command(
        "eval", f"checkpoint={run.folder}", "evaluate=knn", "bank_limit=100", "held_out_limit=100"
    )
    assert judged.code == 0, judged.err
    assert "fc_norm for its norm" in judged.out

    judged = command("eval", f"checkpoint={run.folder}", "evaluate=classifier")
    assert judged.results["classifier/top1"] == pytest.approx(run.metrics["val/top1"], abs=1e-6)
    headless = command("eval", f"checkpoint={pretrained}", "evaluate=classifier")
    assert headless.code == 1
    assert "has no head that tells classes apart" in headless.err

    again = train(
        "task=finetune",
        f"checkpoint={run.folder}",
        QUIET,
        "epochs=1",
        "warmup_epochs=0",
        "base_lr=1e-30",
    )
    assert "fc_norm 2 of 2, head 2 of 2" in again.out
    assert again.metrics["val/top1"] == run.metrics["val/top1"]


@pytest.mark.parametrize("step", [3, slow(5)])
def test_a_resumed_run_repeats_the_undisturbed_one_with_everything_random_and_an_average(
    train, stopped_after, step
):
    watch = "callback=[weight_average,interruption,checkpoint,results,epoch_end]"
    few = "trainer.limit_train_batches=5"
    everything = ("task=finetune", watch, few, MIX, ERASE, *AUGMENT, "encoder.drop_path=0.2")
    undisturbed = train(*everything)
    assert undisturbed.code == 0, undisturbed.err
    stopped = stopped_after(step, *everything)
    resumed = train(*everything, f"resume={stopped.folder}")
    assert resumed.code == 0, resumed.err
    before, after, whole = (run.column("train/loss") for run in (stopped, resumed, undisturbed))
    assert before | after == whole
    # also of an epoch that was stopped between its last step and its end
    for column in ("val/top1", "val/top1_best"):
        assert resumed.column(column) == undisturbed.column(column)
    for weights in ("state_dict", "current_model_state"):
        ours, theirs = (run.checkpoint[weights] for run in (resumed, undisturbed))
        assert all(weight.equal(theirs[name]) for name, weight in ours.items())
    for metric in ("val/top1", "val/loss", "val/top1_best"):
        assert resumed.metrics[metric] == undisturbed.metrics[metric]


def accuracy(folder: Path) -> float:
    """Of the classifier in a run's checkpoint, on the held-out digits."""
    model = Classifier(ViT(32, 8, 64, 4, 4), {"mean": Mean()}, 10)
    load_checkpoint_into(folder, model)
    model.eval()
    data = Digits(NoAugment(), 32, 512)
    with torch.no_grad():
        (batch,) = data.val_dataloader()
        score = model(data.on_after_batch_transfer(batch))
    return multiclass_accuracy(score, batch.label, 10, average="micro").item()


def test_the_average_of_the_weights_is_judged_and_kept(train):
    settings = ("task=finetune", "epochs=6", "callback.weight_average.decay=0.9")
    run = train(*settings, "callback=[weight_average,checkpoint,results]")
    average, own = run.checkpoint["state_dict"], run.checkpoint["current_model_state"]
    assert not average["model.head.weight"].equal(own["model.head.weight"])
    assert run.metrics["val/top1"] == pytest.approx(accuracy(run.folder), abs=1e-6)
    late = train(*settings, "callback=[checkpoint,results,weight_average]")
    assert late.code == 1
    assert "name it first: callback=[weight_average,finetune]" in late.err


@pytest.mark.slow
def test_a_compiled_step_gives_the_losses_of_an_eager_one(train):
    settings = ("task=finetune", "debug=limit", "callback=[]", MIX)
    eager, compiled = (
        train(*settings, f"compile={on}").column("train/loss") for on in ("false", "true")
    )
    assert eager.keys() == compiled.keys()
    assert all(
        float(compiled[step]) == pytest.approx(float(loss), abs=1e-4)
        for step, loss in eager.items()
    )


@pytest.mark.slow
def test_two_processes_train_and_count_like_one_though_one_has_a_batch_more(
    train, train_by_two, tmp_path
):
    """Of five held-out pictures, in batches of two, one process judges two batches and the other
    one.
    """
    draw = random.Random(0)
    for split, count in (("train", 12), ("val", 5)):
        for number in range(count):
            colour = (draw.randrange(120, 256), 0) if number % 2 else (0, draw.randrange(120, 256))
            file = tmp_path / split / "ab"[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (*colour, draw.randrange(256))).save(file)
    settings = [
        *(
            "task=finetune",
            "encoder=beit_pico",
            "data=image_folder",
            f"data.root={tmp_path}",
            "data.image_size=32",
        ),
        *(
            "data.in_memory=true",
            "epochs=8",
            "base_lr=0.1",
            "task.mix=null",
            "task.erase=null",
            QUIET,
        ),
    ]
    one = train(*settings, "data.batch_size=4")
    assert one.code == 0, one.err
    two = train_by_two(*settings, "data.batch_size=2")
    ours, theirs = one.column("train/loss"), two.column("train/loss")
    assert ours.keys() == theirs.keys()
    assert all(abs(float(loss) - float(theirs[step])) < 1e-4 for step, loss in ours.items())
    for epoch, accuracy in one.column("val/top1").items():
        assert float(two.column("val/top1")[epoch]) == pytest.approx(float(accuracy), abs=1e-6)
        assert float(accuracy) * 5 == pytest.approx(round(float(accuracy) * 5), abs=1e-5)
    assert two.metrics["val/loss"] == pytest.approx(one.metrics["val/loss"], abs=1e-3)
    assert one.metrics["val/top1_best"] > 0.5


@pytest.mark.parametrize(
    "choice",
    [
        "encoder=swin_pico",
        slow("encoder=beit_pico encoder.positions=block_bias"),
        slow("pool=cls"),
        "pool=abmilp",
    ],
)
def test_every_kind_of_encoder_and_pool_is_fine_tuned(train, choice):
    run = train(
        "task=finetune",
        "debug=limit",
        "callback=[announce,checkpoint,results]",
        MIX,
        ERASE,
        *choice.split(),
    )
    assert run.code == 0, run.err
    assert "label smoothing 0.1, mixup 0.8 and cutmix 1, 50% of images erased in part" in run.out
    assert run.results["steps"] == 6


def test_a_head_of_other_classes_is_refused_by_eval_and_begins_anew_in_training(
    train, command, tmp_path
):
    for split in ("train", "val"):
        for name in "abc":
            for number in range(2):
                file = tmp_path / split / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (90 * number, 0, 0)).save(file)
    pictures = (
        "data=image_folder",
        f"data.root={tmp_path}",
        "data.image_size=32",
        "data.in_memory=true",
    )
    run = train("task=finetune", "debug=limit", QUIET)
    judged = command("eval", f"checkpoint={run.folder}", "evaluate=classifier", *pictures)
    assert judged.code == 1
    assert (
        "tells 10 classes apart (0, 1, 2, ...), and ImageFolder has 3 others: a, b, c" in judged.err
    )
    again = train(
        "task=finetune",
        "debug=limit",
        QUIET,
        f"checkpoint={run.folder}",
        *pictures,
        "data.batch_size=2",
    )
    assert again.code == 0, again.err
    assert "head not loaded (head.weight is (10, 64) there and (3, 64) here)" in again.out


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Without classes in flat/, of one class in one/."""
    for place in ("flat", "one/only"):
        (tmp_path / place).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(tmp_path / place / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data=image_folder", "data.root={}/flat", "data.image_size=32", "data.batch_size=2"],
            "has no labels",
        ),
        (
            ["data=image_folder", "data.root={}/one", "data.image_size=32", "data.batch_size=2"],
            "two at least",
        ),
        (["data.batch_size=33", MIX], "data.batch_size=33 is odd; try data.batch_size=34"),
        ([MIX, "task.mix.mixup_alpha=0", "task.mix.cutmix_alpha=0"], "use task.mix=null"),
        (["pool=[cls,mean]"], "one pool and got 2 (cls, mean)"),
        (["pool=ca1"], "frozen encoders; fine-tune with pool=mean"),
        (["encoder=swin_pico", "pool=cls"], "Swin"),
        (["task.train_blocks=9"], "train_blocks=9, but the encoder has 4 blocks"),
        (
            ["task.layer_decay=1.5"],
            "layer_decay=1.5 does not fit; it should be more than 0 and at most 1",
        ),
        (["task.mixx=null"], "task.mixx"),
    ],
)
def test_what_cannot_be_fine_tuned_is_refused_in_one_line(train, pictures, overrides, message):
    run = train(
        "task=finetune",
        "callback=[]",
        *(override.replace("{}", str(pictures)) for override in overrides),
    )
    assert run.code == 1
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert message in run.err
