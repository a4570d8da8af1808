from datetime import datetime, timedelta

import pytest
import torch
from torch.distributed import TCPStore

from mim.launch import processes
from mim.launch.processes import (
    check_nodes,
    count_devices,
    devices,
    is_first,
    nodes,
    portion_of_step,
    run_stamp,
    share_of_step,
    started,
)

SRUN = {
    **{"SLURM_STEP_ID": "2", "SLURM_STEP_NUM_NODES": "4", "SLURM_STEP_NUM_TASKS": "32"},
    **{"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "mae"},
}


@pytest.fixture
def torchrun(monkeypatch):
    """What torchrun tells its processes, and the table that it keeps for them."""
    table = TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=300)
    )
    environment = {
        "TORCHELASTIC_RUN_ID": "x",
        "LOCAL_WORLD_SIZE": "8",
        "GROUP_WORLD_SIZE": "4",
        "MASTER_ADDR": "127.0.0.1",
    }
    for name, value in (environment | {"MASTER_PORT": str(table.port)}).items():
        monkeypatch.setenv(name, value)
    return table


def test_alone_a_run_is_called_by_the_time_it_began():
    assert started() is None
    assert (devices("auto"), nodes(1)) == ("auto", 1)
    moments = [datetime.now()]
    for _ in range(2):
        name = run_stamp("%Y-%m-%d_%H-%M-%S-%f")
        moments += [datetime.strptime(name, "%Y-%m-%d_%H-%M-%S-%f"), datetime.now()]
    assert moments == sorted(moments)
    assert moments[1] != moments[3]


def test_all_processes_of_torchrun_and_those_it_restarts_have_one_name(torchrun):
    assert (devices("auto"), nodes(1)) == (8, 4)
    assert run_stamp("%H-%M-%S-%f") == run_stamp("%H-%M-%S-%f")


def test_under_srun_a_run_is_called_by_its_job_and_step_so_that_it_keeps_its_folder_when_requeued(
    monkeypatch,
):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert (devices("auto"), nodes(1)) == (8, 4)
    assert run_stamp("%Y") == "job_4711_2"


def test_what_is_typed_into_a_shell_that_srun_opened_is_a_run_of_its_own(monkeypatch):
    for name, value in (SRUN | {"SLURM_JOB_NAME": "bash"}).items():
        monkeypatch.setenv(name, value)
    assert started() is None


@pytest.mark.parametrize(
    ("accelerator", "given", "there", "count"),
    [
        *[
            ("gpu", 2, 8, 2),
            ("gpu", "auto", 8, 8),
            ("auto", -1, 4, 4),
            ("gpu", "0,3", 4, 2),
            ("cuda", [1], 2, 1),
        ],
        *[("cpu", "auto", 8, 1), ("auto", "auto", 0, 1), ("auto", 2, 0, 2), ("cpu", 3, 0, 3)],
    ],
)
def test_processes_are_counted_before_anything_is_built(
    monkeypatch, accelerator, given, there, count
):
    monkeypatch.setattr(processes, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    assert count_devices(accelerator, given) == count


@pytest.mark.parametrize(
    ("given", "there", "fix"),
    [(8, 2, "trainer.devices may be 1 to 2"), ("auto", 0, "use trainer=cpu")],
)
def test_more_gpus_than_there_are_are_refused(monkeypatch, given, there, fix):
    monkeypatch.setattr(processes, "has_gpu_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(
        ValueError,
        match=f"trainer.devices={given} asks for . GPU.*this computer has {there}; {fix}",
    ):
        count_devices("gpu", given)


def test_a_step_is_shared_out_equally_or_refused():
    assert share_of_step(4096, processes=32, accumulated=2) == 64
    with pytest.raises(
        ValueError, match=r"images_per_step=100 cannot .* 3 process\(es\) x 2 .*: 96 and 102"
    ):
        share_of_step(100, processes=3, accumulated=2)
    with pytest.raises(ValueError, match="the nearest that can: 8 and 16"):
        share_of_step(4, processes=8, accumulated=1)


@pytest.mark.parametrize(
    ("images", "processes", "at_most", "accumulated", "portion"),
    [
        (4096, 1, 64, None, (64, 64)),
        (4096, 8, 64, None, (64, 8)),
        (4096, 8, 100, None, (64, 8)),
        (4096, 64, 64, None, (64, 1)),
        (4096, 128, 64, None, (32, 1)),
        (4096, 8, 64, 2, (256, 2)),  # a number that is given wins
        (None, 8, 64, None, (64, 1)),
        (None, 8, 64, 3, (64, 3)),
    ],
)
def test_as_few_batches_are_accumulated_as_memory_allows(
    images, processes, at_most, accumulated, portion
):
    assert portion_of_step(images, processes, at_most, accumulated) == portion


def test_batches_of_pairs_are_even_where_they_can_be():
    assert portion_of_step(36, 1, 9, None) == (9, 4)
    assert portion_of_step(36, 1, 9, None, multiple=2) == (6, 6)
    assert portion_of_step(9, 1, 9, None, multiple=2) == (9, 1)


def test_a_step_that_the_processes_cannot_share_is_refused():
    with pytest.raises(
        ValueError, match=r"images_per_step=100 cannot .* 3 process\(es\).*: 99 and 102"
    ):
        portion_of_step(100, 3, 64, None)


def test_computers_that_nobody_starts_processes_on_are_refused(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_STEP_ID", "MASTER_ADDR", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        ValueError, match=r"trainer\.num_nodes=2, and nothing has started .* torchrun --nnodes"
    ):
        check_nodes(2)
    check_nodes(1)


@pytest.mark.parametrize("name", ["MASTER_ADDR", "NODE_RANK", "OMPI_COMM_WORLD_SIZE"])
def test_computers_that_somebody_else_has_started_processes_on_are_taken(monkeypatch, name):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    monkeypatch.setenv(name, "1")
    check_nodes(2)


def test_under_torchrun_it_is_for_agreement_to_say_whether_they_are_so_many(torchrun, monkeypatch):
    monkeypatch.delenv("MASTER_ADDR")
    check_nodes(2)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False),  # the first of the second computer
        ({"LOCAL_RANK": "1"}, False),  # Lightning starts these
        # and these, where it is started by hand on each computer
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        (SRUN | {"SLURM_PROCID": "0"}, True),
        (SRUN | {"SLURM_PROCID": "8", "SLURM_LOCALID": "0"}, False),
        # one process, typed into a shell on another node
        ({"SLURM_PROCID": "8", "SLURM_JOB_NAME": "bash"}, True),
        (SRUN | {"SLURM_JOB_NAME": "bash", "SLURM_PROCID": "8"}, True),
    ],
)
def test_one_process_speaks_for_all(monkeypatch, environment, first):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first() is first


def test_under_torchrun_the_first_of_all_computers_speaks(torchrun, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    assert is_first()
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert not is_first()
