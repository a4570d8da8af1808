"""What a run says and leaves behind."""

import re

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from tests.slow import slow


def test_a_run_leaves_its_config_results_metrics_checkpoint_and_picture(train):
    run = train("watch_every_n_epochs=2")
    assert run.code == 0
    assert run.results["status"] == "finished"
    assert run.results["steps"] == 20
    assert run.results["epochs"] == 2
    assert run.results["parameters"] == 331_456
    assert run.results["images_per_second"] > 0
    assert run.results["peak_memory_bytes"] > 2**20
    assert run.results["overrides"][0] == "epochs=2"
    assert set(run.results["versions"]) >= {"python", "torch", "timm"}
    assert 0 < run.metrics["knn/top1"] <= 1
    assert 0 < run.metrics["linear/top1_untrained"] <= 1
    config = OmegaConf.load(run.folder / "config.yaml")
    assert config.task.model.masker.partition.ratio == 0.75
    assert run.checkpoint["config"]["encoder"]["width"] == 64
    with Image.open(run.folder / "pictures" / "reconstruction_0002.png") as picture:
        assert picture.width > 500
    assert not list(run.folder.rglob("*.partial"))


def test_the_loss_falls_and_every_step_is_written_down(train):
    losses = train("callback=[]").column("train/loss")
    assert sorted(losses) == list(range(20))
    assert float(losses[19]) < float(losses[0]) - 0.3


def test_what_took_effect_is_said_before_training(train):
    out = train(
        "callback=[announce,refresh_attention]",
        "masker=scheduled",
        "encoder.drop_path=0.2",
        "trainer.accumulate_grad_batches=2",
    ).out
    assert "Random x FixedRatio: of 16 patches 4 visible, 12 masked, 0 thrown;" in out
    assert (
        "; from epoch 41 on Attention x ThrowMiddle: of 16 patches 3 visible, 7 masked, 6 thrown"
        in out
    )
    assert "256 images a step = 128 x 1 process(es) x 2 accumulated" in out
    assert "peak 0.003 = 0.003 x 256 / 256" in out
    assert "0 on 55 parameters, 0.05 on 29 parameters" in out
    assert "up to 0.2, active in" in out


def test_an_absolute_rate_a_changing_decay_and_clipping_take_effect_and_are_said(train):
    given = (
        "lr=2e-3",
        "weight_decay=0.04",
        "weight_decay_schedule=cosine",
        "clip=each_parameter",
        "clip.max_norm=1e-3",
    )
    run = train("callback=[announce,checkpoint]", *given, "optimizer.fused=false")
    assert "peak 0.002 (lr; base_lr is not used)" in run.out
    assert "0 on 55 parameters, 0.04 on 29 parameters; 0.04 to 0." in run.out
    assert "(Cosine)" in run.out
    assert "ClipEachParameter to a norm of 0.001" in run.out
    optimizer = run.checkpoint["optimizer_states"][0]
    assert sorted(group["weight_decay"] for group in optimizer["param_groups"]) == pytest.approx(
        [0, 0.4]
    )
    # Adam's average of squared gradients: of a tensor cut to a norm of 1e-3 at most (1e-3)^2 in all
    assert all(state["exp_avg_sq"].sum() <= 1e-6 * 1.001 for state in optimizer["state"].values())
    assert max(state["exp_avg_sq"].sum() for state in optimizer["state"].values()) > 1e-7


@pytest.mark.slow
def test_a_length_in_steps_ends_there_and_its_schedule_with_it(train):
    """10 steps an epoch: 13 steps are one epoch and three steps of the next."""
    run = train(
        "steps=13", "warmup_steps=2", "watch_every_n_epochs=1", "callback.progress.lines=13"
    )
    assert (run.results["steps"], run.results["status"]) == (13, "finished")
    assert "step 13/13" in run.out
    assert "2 epochs of 10 steps, 13 steps in all" in run.out
    assert "knn/top1" in run.metrics
    (group, _) = run.checkpoint["optimizer_states"][0]["param_groups"]
    assert run.checkpoint["global_step"] == 13
    assert group["lr"] == pytest.approx(0, abs=1e-9)  # of the step after the last


def test_fine_tuning_that_ends_between_two_epochs_is_judged_at_its_end(train):
    run = train("task=finetune", "steps=3", "warmup_steps=1", "callback=[results]")
    assert run.results["steps"] == 3
    assert "val/top1" in run.metrics


def test_a_length_that_is_none_is_refused(train):
    assert "steps=0 is no length of a training" in train("steps=0").err


def test_two_ways_of_clipping_are_refused(train):
    run = train("callback=[]", "clip=each_parameter", "trainer.gradient_clip_val=1")
    assert run.code == 1
    assert "both cut gradients down; leave one out, e.g. trainer.gradient_clip_val=null" in run.err


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_cut_down_in_any_precision_also_for_a_fused_optimiser(
    train, monkeypatch, precision
):
    norms, step = [], torch.optim.AdamW.step

    def measured(self, closure):
        def then_measure():
            loss = closure()
            gradients = [
                p.grad for group in self.param_groups for p in group["params"] if p.grad is not None
            ]
            norms.append(
                torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients])).item()
            )
            return loss

        return step(self, then_measure)

    monkeypatch.setattr(torch.optim.AdamW, "step", measured)
    run = train("callback=[]", f"trainer.precision={precision}", "trainer.gradient_clip_val=0.01")
    assert run.code == 0, run.err
    assert norms
    assert norms == pytest.approx([0.01] * len(norms), rel=1e-3)


def test_null_leaves_one_callback_or_logger_out(train):
    off = ("callback.online_probe=null", "callback.reconstructions=null", "logger.csv=null")
    run = train("watch_every_n_epochs=1", *off)
    assert run.code == 0, run.err
    assert "knn/top1" not in run.metrics
    assert not list(run.folder.glob("pictures/*"))
    assert not (run.folder / "metrics.csv").exists()
    assert run.results["status"] == "finished"


@pytest.mark.slow
def test_watching_leaves_the_trained_weights_bit_identical(train):
    watched, alone = train("watch_every_n_epochs=1"), train("callback=[checkpoint,results]")
    ours, theirs = (run.checkpoint["state_dict"] for run in (watched, alone))
    assert ours.keys() == theirs.keys()
    assert all(weight.equal(theirs[name]) for name, weight in ours.items())


def test_accumulated_batches_train_like_one_batch_also_where_they_do_not_fill_the_last_step(train):
    """Of 1,347 images, 200 a step: six steps an epoch, whether 26 batches of 50 make 6.5 of them or
    6 of 200 just six.
    """
    settings = ("callback=[checkpoint,results]", "images_per_step=200")
    whole, parts = train(*settings, "data.batch_size=200"), train(*settings, "data.batch_size=60")
    assert parts.checkpoint["config"]["data"]["batch_size"] == 50
    assert parts.checkpoint["config"]["trainer"]["accumulate_grad_batches"] == 4
    assert whole.results["steps"] == parts.results["steps"] == 12
    ours, theirs = (run.checkpoint["state_dict"] for run in (whole, parts))
    same = [
        weight.allclose(theirs[name], atol=2e-4)
        for name, weight in ours.items()
        if not name.endswith("qkv.bias")
    ]
    assert all(same)
    assert len(same) > 50


@pytest.mark.parametrize("debug", ["limit", "overfit"])
def test_debug_modes_run(train, debug):
    run = train(f"debug={debug}", "callback=[results]", "epochs=3")
    assert run.results["epochs"] == 3
    assert run.results["steps"] == (9 if debug == "limit" else 3)


@pytest.mark.slow
def test_a_compiled_step_gives_the_losses_of_an_eager_one_and_names_weights_alike(train):
    runs = [
        train("debug=limit", "callback=[checkpoint,results]", f"compile={on}")
        for on in ("false", "true")
    ]
    eager, compiled = (run.column("train/loss") for run in runs)
    assert eager.keys() == compiled.keys()
    assert all(
        float(compiled[step]) == pytest.approx(float(loss), abs=1e-5)
        for step, loss in eager.items()
    )
    ours, theirs = (run.checkpoint["state_dict"].keys() for run in runs)
    assert ours == theirs


@pytest.mark.parametrize(
    ("logger", "settings"),
    [slow("[csv,tensorboard]", ()), ("[csv,wandb]", ("logger.wandb.init_timeout=300",))],
)
def test_several_loggers_at_once(train, logger, settings, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB__SERVICE_WAIT", "300")  # on a slow machine
    run = train("debug=limit", f"logger={logger}", "callback=[reconstructions,results]", *settings)
    assert run.code == 0
    assert run.column("train/loss")
    assert list(
        run.folder.glob(
            "events.out.tfevents*" if "tensorboard" in logger else "wandb/offline-run-*/*.wandb"
        )
    )


def test_an_override_that_refers_to_another_setting_is_written_down_as_it_was_given(train):
    run = train("callback=[results]", "debug=limit", "encoder.drop_path=${weight_decay}")
    assert run.code == 0
    assert run.results["overrides"][-1] == "encoder.drop_path=${weight_decay}"


@pytest.mark.parametrize("batches", [slow(1), 4])
def test_the_loss_on_the_screen_is_the_one_that_is_written_down(train, batches):
    """Lightning hands out a loss that is divided by the accumulated batches of a step."""
    split = (f"trainer.accumulate_grad_batches={batches}", f"data.batch_size={128 // batches}")
    run = train("callback=[progress]", "callback.progress.lines=20", *split)
    shown = [float(loss) for loss in re.findall(r"step \d+/20  loss ([\d.]+)", run.out)]
    written = run.column("train/loss")
    assert len(shown) == 20
    assert shown == pytest.approx([float(written[step]) for step in range(20)], abs=1e-4)
