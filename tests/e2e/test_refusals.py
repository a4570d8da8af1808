"""Bad input: one line that says what was given, what is allowed and how to fix it; exit code 1;
nothing left behind.
"""

import pytest

REFUSED = {
    "masker.partition.ratio=1.5": ["ratio=1.5", "more than 0 and less than 1", "e.g. 0.75"],
    "masker.partition.ratio=lots": ["masker.partition.ratio='lots'", "valid number"],
    "masker.partition.ratoi=0.5": ["masker.partition.ratoi", "did you mean 'ratio'?"],
    "+encoder.deph=3": ["encoder.deph", "did you mean 'depth'?"],
    "maskr=random": ["'maskr'", "did you mean 'masker'?"],
    "masker=randm": ["masker=randm", "did you mean 'random'?", "block"],
    "masker=null": ["masker=null is not a choice; allowed: am, amt, ", "'~masker' leaves it out"],
    "experiment=amt/imagenet_mae_rand": [
        "did you mean 'amt/imagenet_mae_random'?",
        "amt/imagenet_simmim_amt",
    ],
    "experiment=amt": [
        "experiment=amt is not a choice",
        "allowed: amt/ablation_few_thrown, ",
        "amt/imagenet_mae_amt",
    ],
    "debug=limt": [
        "debug=limt is not a choice; did you mean 'limit'? allowed: limit, overfit, profile"
    ],
    "recipe=pretrain/imagnet": [
        "recipe=pretrain/imagnet is not a choice; did you mean 'pretrain/imagenet'?"
    ],
    "trainer.limit_val_batches=1": [
        "pytorch_lightning.Trainer takes it",
        "add it: +trainer.limit_val_batches=...",
    ],
    "data.num_workers=2": ["takes it, but it is not set here; add it: +data.num_workers=..."],
    "+epoch=3": ["epoch=3 would do nothing", "did you mean 'epochs'?"],
    "attention_from=x": [
        "attention_from=x would do nothing: what is chosen does not read it; allowed: base_lr, "
    ],
    "~masker": ["model.masker=None does not fit; it should be a part; masker=... chooses one"],
    "debug.epochs=3": [
        "'debug.epochs' is not a setting; choose debug= with it (limit, overfit, profile)\n"
    ],
    "encoder.patch_size=7": ["32 x 32", "patch_size=7", "2, 4, 8, 16, 32"],
    "target=hog": ["target= has its place further down: target@loss.target=...\n"],
    "loss=pixel_and_hog target=hog": [
        "target@loss.term.pixel.target=... or target@loss.term.hog.target=...\n"
    ],
    "loss.normalise=false": [
        "'loss.normalise' is not a setting; did you mean 'loss.target.normalise'?\n"
    ],
    "loss.norm=l1": ["'loss.norm' is not a setting; in loss: allowed: error, target\n"],
    "loss.target.normalise=no": ["loss.target.normalise='no' does not fit; write False"],
    "seed=1e3": ["error: seed=1000.0 does not fit; write 1000"],
    "seed=-1": ["error: seed=-1 does not fit", "at least 0"],
    "base_lr=0": ["error: base_lr=0 does not fit", "more than 0"],
    "weight_decay=-1": ["error: weight_decay=-1", "at least 0"],
    "data.batch_size=0": ["data.batch_size=0", "at least 1"],
    "encoder.drop_path=1.5": ["encoder.drop_path=1.5", "less than 1"],
    "epochs=0 warmup_epochs=0": ["error: epochs=0 does not fit; it should be at least 1"],
    "trainer.accumulate_grad_batches=0": [
        "trainer.accumulate_grad_batches=0",
        "at least 1",
    ],
    "trainer.gradient_clip_val=-1": ["trainer.gradient_clip_val=-1", "more than 0"],
    "trainer.devices=0": ["trainer.devices=0 leaves nobody to train"],
    "encoder.heads=5": ["width=64, heads=5"],
    "data.batch_size=2000": ["2000", "1347 images"],
    "trainer.precision=bf16-true": ["trainer.precision='bf16-true' does not fit", "'bf16-mixed'"],
    "trainer.precision=64-true": ["trainer.precision='64-true' does not fit", "'32-true'"],
    "trainer.accelerator=gpu": [
        "trainer.devices=1 asks for 1 GPU(s)",
        "this computer has 0",
        "trainer=cpu",
    ],
    "images_per_step=100 trainer.accumulate_grad_batches=3": [
        "images_per_step=100",
        "3 accumulated",
        "99 and 102",
    ],
    "task=finetune masker=block": [
        "masker=block would do nothing",
        "task=finetune with model=classifier takes no masker",
    ],
    "task=finetune loss=pixel": ["loss=pixel would do nothing", "takes no loss"],
    "task=finetune task.layr_decay=0.5": ["'task.layr_decay'", "did you mean 'layer_decay'?"],
    "evaluate=knn": ["evaluate=knn is for eval.py: python eval.py evaluate=knn checkpoint=..."],
    "warmup_epochs=2": ["warmup_epochs=2", "epochs=2"],
    "masker.cell=3": ["3 x 3", "1, 2, 4"],
    "resume=README.md": ["README.md is not a checkpoint"],
    "resume=nowhere": ["there is no nowhere"],
    "data=image_folder data.root=nowhere": ["nowhere"],
    "README.md": [
        "README.md is no setting; settings are key=value, e.g. data=image_folder "
        "data.root=README.md"
    ],
    "masker": ["masker needs a choice: masker=...; allowed: am, "],
    "epochs": ["epochs is no setting without a value: epochs=..."],
    "=b": ["=b names no setting before the ="],
    "+epochs=3": ["'epochs' is set already; change it without the +: epochs=...\n"],
    "~masker.partition.ratio": ["masker.partition.ratio is not set, and FixedRatio needs it; "],
    "~task.lrr": ["~task.lrr leaves out what is not there; in task: did you mean 'lr'?"],
    "+epoch": ["+epoch is no setting without a value: +epoch=..."],
    "resume=": ["error: resume='' does not fit; it should be a word that is not empty"],
    "batch_size=16": ["'batch_size' is not a setting; did you mean 'data.batch_size'?\n"],
    "max_epochs=2": ["'max_epochs' is not a setting; did you mean 'epochs'?\n"],
    "mask_ratio=0.5": ["did you mean 'masker.partition.ratio'?\n"],
    "fast_dev_run=true": ["trainer takes it; add it: +trainer.fast_dev_run=...\n"],
    "+masker.score.noise=1": ["masker.score.noise is not an argument of Random; there is none\n"],
    "schedule._target_=torch.nn.Linear": [
        "warmup_epochs, warmup_steps, min_lr of schedule are not arguments of Linear; allowed: ",
        ". '~schedule.warmup_epochs' '~schedule.warmup_steps' '~schedule.min_lr' leaves them out\n",
    ],
    "epochs=1 --config-dir configs masker=randm": ["masker=randm is not a choice"],
    "--masker random": ["--masker is no option; settings have no dashes: masker=..."],
    "masker=[random,block]": [
        "masker=[random,block]: one masker is chosen; -m masker=random,block runs one job for each"
    ],
    "masker.at_epoch=3": [
        "'masker.at_epoch' is not a setting",
        "; masker.at_epoch is a setting of masker=scheduled\n",
    ],
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_bad_input_is_refused_in_one_line(train, runs, overrides):
    run = train("callback=[]", *overrides.split())
    assert run.code == 1
    assert run.err.startswith("error: ")
    assert run.err.count("\n") == 1
    assert "Traceback" not in run.err
    for part in REFUSED[overrides]:
        assert part in run.err
    assert not list(runs.rglob("*.ckpt"))


def test_a_missing_checkpoint_is_asked_for(command):
    judged = command("eval")
    assert judged.code == 1
    assert (
        judged.err == "error: checkpoint is missing; give it on the command line: checkpoint=...\n"
    )


def test_a_misspelt_data_set_is_not_replaced_by_that_of_the_run(train, command):
    run = train("debug=limit", "callback=[checkpoint,results]")
    judged = command("eval", f"checkpoint={run.folder}", "data=cifer10")
    assert judged.code == 1
    assert judged.err.startswith(
        "error: data=cifer10 is not a choice; did you mean 'cifar10'? allowed: ade20k, "
    )


NO_JUDGEMENT = {
    "data.image_size=16": (
        "'data.image_size' is not a setting; choose data= with it (ade20k, ",
        "), or change that of the run: +data.image_size=...\n",
    ),
    "+data.image_szie=16": (
        "data.image_szie is not an argument of Digits; did you mean 'image_size'?",
    ),
    "+k=20": ("k=20 would do nothing: ",),
    "evaluate=embedding held_out_limit=9": (
        "held_out_limit=9 would do nothing: what is chosen does not read it",
    ),
    "pool=[]": ("evaluate.pools needs a pool, and none is chosen; allowed: abmilp, ",),
    "checkpoint=[]": ("checkpoint=[] names nothing to judge; give a run folder",),
}


def test_settings_of_a_judgement_that_are_not_there(train, command):
    run = train("debug=limit", "callback=[checkpoint,results]")
    for overrides, messages in NO_JUDGEMENT.items():
        judged = command("eval", f"checkpoint={run.folder}", *overrides.split())
        assert judged.code == 1, overrides
        for message in messages:
            assert message in judged.err


@pytest.mark.parametrize("task", ["finetune", "pretrain"])
def test_judging_says_who_trains(command, task):
    judged = command("eval", f"task={task}", "checkpoint=somewhere")
    assert judged.code == 1
    assert (
        judged.err
        == f"error: task={task} is for train.py: python train.py task={task} checkpoint=...\n"
    )


def test_the_nearest_setting_is_that_of_the_evaluation_that_was_chosen(command):
    judged = command("eval", "evaluate=low_shot", "evaluate.shotz=[1]", "checkpoint=somewhere")
    assert "'evaluate.shotz' is not a setting; in evaluate: did you mean 'shots'?" in judged.err


def test_a_checkpoint_of_another_architecture_is_refused_by_name(train):
    run = train("debug=limit", "callback=[checkpoint,results]")
    other = train("callback=[]", "encoder.width=128", f"resume={run.folder}")
    assert other.code == 1
    assert (
        "was trained with encoder.width=64, and resume= cannot go on with 128: the weights are of "
        "another" in other.err
    )
    assert "64" in other.err
    assert "128" in other.err


def test_a_traceback_is_there_for_those_who_ask(train, monkeypatch):
    monkeypatch.setenv("MIM_TRACEBACK", "1")
    assert "Traceback" in train("callback=[]", "encoder.heads=5").err
