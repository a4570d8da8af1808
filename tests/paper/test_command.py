"""What of a command line decides what comes out, and what only says how it is run."""

import pytest

from mim.paper.command import differences, merged, recipe, written

HOW = (
    "trainer=ddp",
    "trainer.devices=8",
    "trainer.num_nodes=2",
    "trainer.accumulate_grad_batches=4",
    "trainer.precision=32-true",
    "trainer.strategy.find_unused=true",
    "data.root=/elsewhere",
    "+data.root=/elsewhere",
    "data.num_workers=4",
    "data.batch_size=64",
    "logger=[csv,wandb]",
    "logger.wandb.project=mine",
    "paths.data=/d",
    "hydra.run.dir=x",
    "sweep.name=mine",
    "resume=auto",
    "seed=3",
    "name=mine",
    "compile=true",
    "cache=null",
    "accelerator=cpu",
    "watch_every_n_epochs=5",
    "callback.online_probe=null",
    "callback.checkpoint.last_every_n_steps=5",
)


@pytest.mark.parametrize("override", HOW)
def test_how_it_is_run_is_no_part_of_a_recipe(override):
    assert recipe(["epochs=3", override], shared_out=True) == {"epochs": "3"}


@pytest.mark.parametrize(
    "override",
    [
        "epochs=4",
        "masker.at_epoch=3",
        "callback=[results]",  # without what refreshes attention
        "callback.refresh_attention.every_n_epochs=3",
        "callback.weight_average.decay=0.9",
        "data=digits",
        "data.image_size=64",
        "encoder.drop_path=0.1",
        "trainer.gradient_clip_val=1",
        "trainer.limit_train_batches=3",
        "images_per_step=512",
        "task.batch_size=256",
        "base_lr=1",
    ],
)
def test_what_is_learned_is(override):
    assert recipe([override], shared_out=True) == dict([override.split("=", 1)])


@pytest.mark.parametrize("override", ["trainer.devices=2", "trainer=cpu", "data.batch_size=8"])
def test_devices_decide_where_the_images_of_a_step_are_not_shared_out(override):
    assert recipe([override], shared_out=False) == dict([override.split("=", 1)])


def test_the_last_of_a_key_counts():
    assert recipe(["epochs=3", "+epochs=4"], shared_out=True) == {"epochs": "4"}


def test_differences_are_said_in_words():
    assert differences({"a": "1", "b": "2"}, {"a": "1", "b": "2"}) == []
    found = differences({"a": "1", "b": "2"}, {"a": "3", "c": "4"})
    assert found == ["a=3, not 1", "no b=2", "c=4"]


def test_more_settings_take_the_place_of_those_that_are_there():
    command = "train.py experiment=a/b epochs=200"
    assert (
        merged(command, ["epochs=3", "data=digits"])
        == "train.py experiment=a/b epochs=3 data=digits"
    )


def test_a_command_is_written_as_it_is_typed():
    assert (
        written("eval.py", ["pool=[cls,mean]", "checkpoint=a b"])
        == "python eval.py pool=[cls,mean] 'checkpoint=a b'"
    )
