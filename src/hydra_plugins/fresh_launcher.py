"""`hydra/launcher=fresh`: a job of a sweep is a process that runs
`python train.py <its overrides>`, whatever sweeper chose it.

Hydra looks for plugins in this folder and nowhere else; it imports them at every start, so what
takes long is imported late.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from mim.installed import this_program
from mim.launch.errors import Interrupted
from mim.launch.identity import identity
from mim.sweep.fresh import Task, run_all, visible_gpus
from mim.sweep.job import Job, read_job, read_jobs
from mim.sweep.process import how_to_begin
from mim.sweep.table import distinct, write_table


class FreshLauncher(Launcher):
    """Run what has not finished yet, each job in a fresh process, and go on with what was
    interrupted.

    Args:
        parallel: jobs at a time, packed onto the visible GPUs.
        metric: what jobs return to the sweeper: the name of one number, or of several.
        maximise: whether more of the first is better.
        share_imports: whether jobs are forked from a process that has imported everything; null
            where that is safe.
    """

    def __init__(
        self,
        parallel: int,
        metric: str | Sequence[str],
        maximise: bool,
        share_imports: bool | None = None,
    ):
        self.parallel, self.maximise, self.share_imports = parallel, maximise, share_imports
        self.metrics = [metric] if isinstance(metric, str) else list(metric)

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Hydra's first call."""
        self.config, self.hydra_context = config, hydra_context

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs by their overrides; each returns the chosen metrics, or None where it has none.

        Raises:
            ValueError: under torchrun, where each rank would sweep.
            Interrupted: a signal came, and all jobs have stopped.
        """
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise ValueError(
                "a sweep (-m) starts the processes of its jobs itself; run `python train.py -m "
                "...` without torchrun"
            )
        begin = how_to_begin(self.share_imports)
        sweep = Path(self.config.hydra.sweep.dir).absolute()
        known = {identity(job.overrides): job for job in read_jobs(sweep, self.metrics)}
        numbers = {int(job.folder.name) for job in known.values()}
        jobs = []
        for index, overrides in enumerate(map(list, job_overrides), start=initial_job_idx):
            job = known.get(identity(overrides))
            if job is None:  # where a sweep has grown, the number may be taken
                number = index if index not in numbers else max(numbers) + 1
                numbers.add(number)
                job = Job(sweep / str(number), overrides, "new", [])
            # what is asked for now, whatever a file says
            jobs.append(job._replace(overrides=overrides))
        tasks = [
            self._task(job, distinct(job, jobs))
            for job in jobs
            if job.status not in ("finished", "pruned")
        ]
        done = f", {len(jobs) - len(tasks)} done before" if len(tasks) < len(jobs) else ""
        print(
            f"{len(jobs)} jobs in {sweep}{done}; what a job says goes to its output.log", flush=True
        )
        try:
            run_all(tasks, self.parallel, visible_gpus(), self.metrics, begin)
        except Interrupted as stop:
            write_table(sweep, self.metrics, self.maximise)
            raise Interrupted(
                stop.cause, "give the same command again to go on with what is missing"
            ) from None
        return [self._return(job) for job in jobs]

    def _task(self, job: Job, label: str) -> Task:
        cfg = self.hydra_context.config_loader.load_sweep_config(self.config, job.overrides)
        ours = [
            "hydra.mode=RUN",
            f"hydra.run.dir='{job.folder}'",
            f"sweep.name='{job.folder.parent.name}'",
        ]
        if "resume" in cfg and cfg.resume is None:
            ours.append("resume=auto")
        command = [*this_program(), *own_configs(self.config), *job.overrides, *ours]
        return Task(
            job.folder,
            command,
            list(identity(job.overrides)),
            label or " ".join(filter_overrides(job.overrides)),
            gpus_of(cfg),
        )

    def _return(self, job: Job) -> JobReturn:
        job = read_job(job.folder, self.metrics)
        value = job.metrics if None not in job.metrics else None
        one = value[0] if value and len(value) == 1 else value
        return JobReturn(
            overrides=job.overrides,
            working_dir=str(job.folder),
            status=JobStatus.COMPLETED,
            _return_value=one,
        )


def own_configs(cfg: DictConfig) -> list[str]:
    """Folders of configs that the command line of a sweep names; its jobs look there, too."""
    sources = cfg.hydra.runtime.config_sources
    given = [
        f"--config-dir={source.path}" for source in sources if source.provider == "command-line"
    ]
    searched = [
        override
        for override in cfg.hydra.overrides.hydra
        if override.startswith("hydra.searchpath=")
    ]
    return given + searched


def gpus_of(cfg: DictConfig) -> int:
    """GPUs that a job takes: 0 on a CPU, -1 for all."""
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    if OmegaConf.select(cfg, "trainer.accelerator", default="auto") == "cpu":
        return 0
    return int(devices) if str(devices).isdigit() else -1
