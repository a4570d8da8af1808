from datetime import datetime, timedelta

import pytest
from torch.distributed import TCPStore

from mim.launch.place import devices, moment, nodes, started

SRUN = {
    **{"SLURM_STEP_ID": "2", "SLURM_STEP_NUM_NODES": "4", "SLURM_STEP_NUM_TASKS": "32"},
    **{"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "mae"},
}


@pytest.fixture
def torchrun(monkeypatch):
    """What torchrun tells its processes, and the table that it keeps for them."""
    table = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=10))
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
    name = moment("%Y-%m-%d_%H-%M-%S-%f")
    assert abs(datetime.strptime(name, "%Y-%m-%d_%H-%M-%S-%f") - datetime.now()) < timedelta(seconds=5)
    assert moment("%f") != moment("%f")


def test_all_processes_of_torchrun_and_those_it_restarts_have_one_name(torchrun):
    assert (devices("auto"), nodes(1)) == (8, 4)
    assert moment("%H-%M-%S-%f") == moment("%H-%M-%S-%f")


def test_under_srun_a_run_is_called_by_its_job_and_step_so_that_it_keeps_its_folder_when_requeued(monkeypatch):
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    assert (devices("auto"), nodes(1)) == (8, 4)
    assert moment("%Y") == "job_4711_2"


def test_what_is_typed_into_a_shell_that_srun_opened_is_a_run_of_its_own(monkeypatch):
    for name, value in (SRUN | {"SLURM_JOB_NAME": "bash"}).items():
        monkeypatch.setenv(name, value)
    assert started() is None
