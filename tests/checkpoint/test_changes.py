"""Which settings a run may change where it goes on, and how that is said."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mim.checkpoint.changes import changed_settings, in_words, refuse_changes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config():
    """As composed and resolved, without what only a started command knows."""
    command = [
        sys.executable,
        "train.py",
        "--cfg",
        "job",
        "--resolve",
        "name=run",
        "paths.run=/runs/a",
    ]
    command.append("callback.results.overrides=[]")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return yaml.safe_load(run.stdout)


def other(config, **settings):
    """The config with other values at dotted places (`__` for a dot)."""
    config = copy.deepcopy(config)
    for name, value in settings.items():
        *path, last = name.split("__")
        node = config
        for key in path:
            node = node[key]
        node[last] = value
    return config


def test_the_same_settings_in_another_folder_are_no_change(config):
    elsewhere = yaml.safe_load(yaml.safe_dump(config).replace("/runs/a", "/runs/b"))
    assert elsewhere != config
    assert changed_settings(config, other(elsewhere, name="b", resume="/runs/a")) == []


def test_a_setting_that_is_wired_in_at_several_places_is_said_once(config):
    now = other(
        config,
        base_lr=1e-4,
        task__base_lr=1e-4,
        epochs=7,
        trainer__max_epochs=7,
        schedule__min_lr=1e-6,
    )
    assert (
        in_words(changed_settings(config, now))
        == "epochs 150 -> 7, base_lr 0.003 -> 0.0001, schedule.min_lr 0 -> 1e-06"
    )


def test_what_is_added_or_taken_away_is_named_as_a_whole(config):
    fewer = {name: node for name, node in config["callback"].items() if name != "online_probe"}
    found = changed_settings(
        config,
        other(
            config, callback=fewer, clip={"_target_": "mim.optim.clip.EachParameter", "max_norm": 3}
        ),
    )
    assert (
        in_words(found) == "clip null -> EachParameter, callback.online_probe OnlineProbe -> absent"
    )


def test_of_many_changes_the_first_are_named():
    found = changed_settings({f"a{i}": 0 for i in range(20)}, {f"a{i}": 1 for i in range(20)})
    assert in_words(found).endswith("a11 0 -> 1, and 8 more")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("encoder__heads", 8),
            ("model__decoder__depth", 1),
            ("model___target_", "mim.model.simmim.SimMIM"),
        ),
        *(
            ("loss___target_", "mim.loss.hog.HOG"),
            ("masker__score___target_", "mim.masker.score.block.Block"),
        ),
        *(
            ("optimizer___target_", "torch.optim.SGD"),
            ("data___target_", "mim.data.cifar.CIFAR10"),
            ("seed", 1),
        ),
        *(("task___target_", "mim.train.finetune.Finetune"), ("masker", None), ("data__seed", 3)),
    ],
)
def test_what_no_training_can_change_on_its_way_is_refused_with_the_way_out(config, name, value):
    dotted = name.replace("___", "._").replace("__", ".")
    with pytest.raises(ValueError, match="start anew from the weights with checkpoint=") as refused:
        refuse_changes(changed_settings(config, other(config, **{name: value})), "last.ckpt")
    assert str(refused.value).startswith(f"last.ckpt was trained with {dotted}=")
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("base_lr", 1e-9),
            ("lr", 1e-3),
            ("weight_decay", 0.3),
            ("optimizer__betas", [0.9, 0.999]),
            ("epochs", 9),
        ),
        *(
            ("data__batch_size", 7),
            ("images_per_step", 64),
            ("encoder__drop_path", 0.1),
            ("data__num_workers", 2),
        ),
        *(
            ("schedule___target_", "mim.optim.schedule.Constant"),
            ("masker__partition__ratio", 0.5),
            ("callback", {}),
        ),
        *(
            ("loss__normalise", False),
            ("trainer__precision", "bf16-mixed"),
            ("trainer__gradient_clip_val", 1.0),
        ),
    ],
)
def test_what_takes_effect_from_here_on_is_said(config, name, value):
    found = changed_settings(config, other(config, **{name: value}))
    refuse_changes(found, "last.ckpt")
    assert {change.name for change in found} == {
        name.replace("___", "._").replace("__", ".")
    } or name == "callback"


def test_decay_that_begins_or_ends_is_refused(config):
    with pytest.raises(
        ValueError,
        match=r"weight_decay=0\.05, and resume= cannot go on with 0: .*e\.g\. weight_decay=1e-12",
    ):
        refuse_changes(changed_settings(config, other(config, weight_decay=0)), "last.ckpt")


@pytest.mark.parametrize(("before", "now"), [(None, 0.05), (0.05, None), (0.05, 0.0)])
def test_decay_to_the_start_cannot_begin_or_end_on_the_way(config, before, now):
    changes = changed_settings(
        other(config, decay_to_start=before), other(config, decay_to_start=now)
    )
    with pytest.raises(
        ValueError, match=r"decay_to_start=\S+, and resume= cannot go on .* are kept only where"
    ):
        refuse_changes(changes, "last.ckpt")


def test_decay_to_the_start_may_become_stronger(config):
    before, now = (other(config, decay_to_start=decay) for decay in (0.05, 0.1))
    refuse_changes(changed_settings(before, now), "last.ckpt")


def test_a_setting_that_an_older_run_did_not_know_is_no_reason_to_stop(config):
    older = copy.deepcopy(config)
    del older["encoder"]["drop_path"], older["encoder"]["heads"]
    refuse_changes(changed_settings(older, config), "last.ckpt")


def test_another_number_of_views_of_an_image_is_another_order():
    before, now = ({"data": {"augment": {"repeats": repeats}}} for repeats in (1, 3))
    with pytest.raises(ValueError, match="the order of images follows from it"):
        refuse_changes(changed_settings(before, now), "last.ckpt")
