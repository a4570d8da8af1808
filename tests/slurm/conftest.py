"""A SLURM for all tests of this room, and the scripts that docs/many_processes.md shows."""

import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.slurm.cluster import Cluster, wait_for
from tests.slurm.job import ROOT, Job, script


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Two nodes that wait for jobs; whatever ends the tests ends them."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with TemporaryDirectory(prefix="slurm") as folder:
        made = Cluster(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()
            signal.signal(signal.SIGTERM, before)


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Job]]:
    """Submit a script of the page for two nodes of one process each: its name, settings of the run,
    options of sbatch.
    """
    environment, numbers = (
        {"MIM_RUNS": str(tmp_path), "OMP_NUM_THREADS": "1", "MIM_TRACEBACK": "0"},
        [],
    )

    def run(name: str, *settings: str, options: Sequence[str] = ()) -> Job:
        (tmp_path / "script").write_text(script(name))
        small = (
            "--nodes=2",
            "--ntasks-per-node=1",
            "--cpus-per-task=2",
            f"--output={tmp_path}/%j.out",
        )
        given = ("--parsable", f"--chdir={ROOT}", *small, *options)
        cluster.environment.update(environment)
        numbers.append(cluster("sbatch", *given, str(tmp_path / "script"), *settings))
        return Job(cluster, numbers[-1], tmp_path)

    yield run
    for number in numbers:
        cluster("scancel", number)
    wait_for(lambda: not cluster("squeue", "--noheader"), "all jobs to end")
