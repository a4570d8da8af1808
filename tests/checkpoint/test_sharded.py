import os
import pickle

import pytest
import torch

from mim.checkpoint import sharded
from mim.checkpoint.optimizer_state import by_name, by_number
from mim.checkpoint.resume import checkpoint_file
from mim.checkpoint.sharded import (
    is_sharded,
    read_rest,
    read_sharded,
    read_sharded_weights,
    read_shares,
    shapes,
    write_sharded,
)
from mim.checkpoint.swap import previous_of, put_in_place
from mim.weights.read import read_weights

GROUPS = [[{"params": ["b", "a"], "lr": 0.1}]]


@pytest.fixture
def saved(alone, tmp_path):
    """Writes weights that are all one number."""

    def save(value: float):
        target = tmp_path / "checkpoints" / "last.ckpt"
        weights = {"a": torch.full((2, 3), value), "b": torch.full((4,), value)}
        moments = {
            name: {"step": torch.tensor(7.0), "exp_avg": weight / 2}
            for name, weight in weights.items()
        }
        rest = {
            "epoch": 3,
            "global_step": 9,
            "loops": {},
            "lr_schedulers": [],
            "optimizer_groups": GROUPS,
        }
        write_sharded({"state_dict": weights, "optimizer_0": moments}, rest, target)
        return target

    return save


def test_what_was_written_is_read_in_parts_or_as_a_whole(saved):
    folder = saved(1.5)
    assert is_sharded(folder)
    assert not is_sharded(folder.parent)
    assert shapes(folder) == {"a": (2, 3), "b": (4,)}
    assert read_sharded_weights(folder)["a"].eq(1.5).all()
    assert read_rest(folder)["epoch"] == 3
    own = {"state_dict": {"b": torch.zeros(4)}}
    read_shares(own, folder)
    assert own["state_dict"]["b"].eq(1.5).all()
    whole = read_sharded(folder)
    assert whole["epoch"] == 3
    (optimizer,) = whole["optimizer_states"]
    assert optimizer["param_groups"] == [{"params": [0, 1], "lr": 0.1}]
    assert optimizer["state"][0]["exp_avg"].tolist() == [0.75] * 4  # b comes first


def test_names_and_numbers_of_an_optimiser_go_back_and_forth():
    named = {"a": {"step": 1}, "b": {"step": 2}}
    numbered = by_number(named, GROUPS[0])
    assert numbered["state"] == {0: {"step": 2}, 1: {"step": 1}}
    assert by_name(numbered, [["b", "a"]]) == {"state": named, "param_groups": GROUPS[0]}


def test_the_new_one_takes_the_place_of_the_old_one_be_it_a_folder_or_a_file(saved):
    folder = saved(1.0)
    saved(2.0)
    assert read_sharded_weights(folder)["b"].eq(2).all()
    file = folder.with_name("new")
    file.write_text("a file")
    put_in_place(file, folder)
    assert folder.read_text() == "a file"
    saved(3.0)
    assert [path.name for path in folder.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_leaves_the_previous_one(saved, monkeypatch):
    folder = saved(1.0)
    real = os.fsync

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError,
        match=r"No space left on device; the previous last\.ckpt is untouched\. Free some space",
    ):
        saved(2.0)
    monkeypatch.setattr(os, "fsync", real)

    def full_later(*args, **kwargs):
        raise sharded.CheckpointException("", {0: (OSError(28, "No space left on device"), None)})

    monkeypatch.setattr(sharded.dcp, "save", full_later)
    with pytest.raises(
        OSError, match=r"No space left on device; the previous last\.ckpt is untouched"
    ):
        saved(2.0)
    assert read_sharded_weights(folder)["a"].eq(1).all()
    assert [path.name for path in folder.parent.iterdir()] == ["last.ckpt"]


def test_a_process_lost_while_folders_change_places_leaves_one_to_resume_from(saved, monkeypatch):
    folder = saved(1.0)
    monkeypatch.setattr(
        sharded, "put_in_place", lambda partial, target: target.rename(previous_of(target))
    )  # and no further
    saved(2.0)
    assert not folder.exists()
    found = checkpoint_file(folder.parents[1])
    assert read_sharded_weights(found)["a"].eq(1).all()
    monkeypatch.undo()
    saved(3.0)
    assert checkpoint_file(folder.parents[1]) == folder
    assert not previous_of(folder).exists()


def test_metadata_that_would_run_code_is_refused(saved):
    folder = saved(1.0)
    (folder / ".metadata").write_bytes(pickle.dumps(os.system))
    with pytest.raises(ValueError, match="no metadata of a checkpoint"):
        read_weights(folder)


@pytest.mark.parametrize("lost", ["__0_0.distcp", "rest.pt"])
def test_a_folder_that_lacks_a_file_is_refused_in_one_line(saved, lost):
    folder = saved(1.0)
    (folder / lost).unlink()
    with pytest.raises((ValueError, OSError), match=lost) as refused:
        read_sharded(folder)
    assert "\n" not in str(refused.value)
