"""Processes that would not train the same thing do not train at all."""

from types import SimpleNamespace

import pytest

from mim.run.same_config import SameConfigOnAllRanks
from tests.distributed.conftest import start


@pytest.mark.slow
def test_ranks_with_different_configs_stop_before_the_first_step(tmp_path):
    line = [
        "train.py",
        "trainer=ddp",
        "trainer.accelerator=cpu",
        "debug=limit",
        "callback=[checkpoint,results]",
    ]
    ended = start([[*line, "base_lr=0.3"], [*line, "base_lr=0.1"]], tmp_path)
    assert [rank.code for rank in ended] == [1, 1]
    expected = (
        "error: the processes of this run do not agree: base_lr is 0.3 on rank 0 and 0.1 on rank 1"
    )
    # either may be the first to be stopped by what started them, so each says it
    for rank in ended:
        (said,) = [line for line in rank.err.splitlines() if line.startswith("error")]
        assert said.startswith(expected)
        assert said.endswith("start all of them with one command line")
    assert not list(tmp_path.rglob("*.ckpt"))
    assert all("train/loss" not in file.read_text() for file in tmp_path.rglob("metrics.csv"))


@pytest.mark.parametrize(
    ("by", "environment"),
    [
        (
            "torchrun",
            {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "8", "GROUP_WORLD_SIZE": "4"},
        ),
        ("srun", {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_NODES": "4", "SLURM_STEP_NUM_TASKS": "32"}),
    ],
)
def test_processes_that_the_trainer_does_not_count_on_are_refused(monkeypatch, by, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ValueError,
        match=rf"{by} started 32 process\(es\), and .* asks for 1; leave both out with trainer=ddp",
    ):
        SameConfigOnAllRanks({}).setup(SimpleNamespace(world_size=1), None, "fit")


def test_a_trainer_that_counts_on_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"there are 1 process\(es\), and .* asks for 2"):
        SameConfigOnAllRanks({}).setup(SimpleNamespace(world_size=2), None, "fit")
    SameConfigOnAllRanks({}).setup(SimpleNamespace(world_size=1), None, "fit")
