"""Segmentation and detection from a command to its judgement, in one process: pre-train, train,
open, judge.
"""

import json

import pytest
import torch

import mim

SMALL = (
    "data=scattered_digits",
    "data.train_scenes=8",
    "data.held_out=4",
    "data.batch_size=4",
    "trainer=cpu",
    "callback=[checkpoint,results]",
)
TASKS = {
    "segment": ("task=segment", "epochs=2", "warmup_epochs=0"),
    "detect": ("task=detect", "epochs=2", "warmup_steps=1"),
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained")
    cfg = mim.compose(*SMALL, "epochs=1", "warmup_epochs=0", f"paths.run={folder}")
    return mim.train(cfg).folder


@pytest.mark.parametrize("task", TASKS)
def test_what_a_run_trains_is_opened_and_judged(pretrained, tmp_path, task):
    settings = (
        *SMALL,
        *TASKS[task],
        "encoder.drop_path=0.1",
        "callback.checkpoint.keep_every_n_epochs=1",
    )
    run = mim.train(
        mim.compose(*settings, f"checkpoint={pretrained}", f"paths.run={tmp_path / 'first'}")
    )
    row = mim.evaluate(run.folder, task)
    if task == "segment":
        # On scenes of the encoder's size, whole pictures are what validation saw.
        assert row["segmentation/miou"] == pytest.approx(
            run.results["metrics"]["val/miou"], abs=1e-3
        )
    else:
        assert row["detect/mask_ap"] == pytest.approx(
            run.results["metrics"]["val/mask_ap"], abs=1e-6
        )
    json.dumps(row)
    middle = f"resume={run.folder / 'checkpoints' / 'epoch_0001.ckpt'}"
    resumed = mim.train(mim.compose(*settings, middle, f"paths.run={tmp_path / 'second'}"))
    first, second = (_weights(each.folder) for each in (run, resumed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ValueError, match="was not trained by task="):
        mim.evaluate(pretrained, task)


def _weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_frozen_patch_tokens_of_a_run_are_judged(pretrained):
    for judge in ("dense_knn", "dense_linear"):
        assert 0 <= mim.evaluate(pretrained, judge)[f"{judge}/miou"] <= 1


def test_data_without_dense_labels_is_refused_in_one_line():
    for task, words in (("segment", "label maps"), ("detect", "objects")):
        with pytest.raises(
            ValueError, match=f"Digits has no {words}, and the task learns from them"
        ):
            mim.train(mim.compose(f"task={task}", "data=digits"))
