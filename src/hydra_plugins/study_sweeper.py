"""`sweep=random` and `sweep=optuna`: an Optuna study (Akiba et al., arXiv 1907.10902) chooses what
the jobs are.

hydra-optuna-sweeper needs Optuna below version 3; this one needs Optuna 4 or later, and leaves the
jobs to any launcher.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from mim.plain import printable, refuse_special
from mim.sweep.job import read_job

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    Space = Mapping[str, BaseDistribution]


class StudySweeper(Sweeper):
    """Ask a study for values, run jobs with them, tell it what came out; the study is kept in the
    sweep's folder and goes on there.

    Swept values are `a,b,c` (one of them), `range(1,9)` (a whole number), `interval(0.1,0.5)` (any
    number between) and `tag(log,interval(1e-4,1e-2))` (any, evenly over magnitudes).

    Args:
        trials: jobs in all.
        together: jobs that are chosen at a time, before any of them has ended.
        metric: what jobs are judged by; several for a study with several aims.
        maximise: whether more of it is better, for each.
        sampler: how values are chosen, an Optuna sampler.
        pruner: what ends a job early, an Optuna pruner; jobs report with callback=[default,prune].
    """

    def __init__(
        self,
        trials: int,
        together: int,
        metric: str | Sequence[str],
        maximise: bool | Sequence[bool],
        sampler: DictConfig,
        pruner: DictConfig,
    ):
        self.trials, self.together = trials, together
        self.metrics = [metric] if isinstance(metric, str) else list(metric)
        more = [maximise] * len(self.metrics) if isinstance(maximise, bool) else list(maximise)
        self.directions = ["maximize" if better else "minimize" for better in more]
        self.sampler, self.pruner = sampler, pruner
        self.launcher: Launcher

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Hydra's first call."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run jobs until the study has as many as it should."""
        assert self.config is not None
        assert self.hydra_context is not None
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        given = OverridesParser.create(self.hydra_context.config_loader).parse_overrides(arguments)
        space = {o.get_key_element(): _distribution(o) for o in given if o.is_sweep_override()}
        fixed = [str(o.input_line) for o in given if not o.is_sweep_override()]
        study = self._study(folder / "study.log")
        while batch := self._next(study, space):
            jobs = [
                [*fixed, *_overrides(trial, space, folder), f"sweep.trial={trial.number}"]
                for trial in batch
            ]
            self.validate_batch_is_legal(jobs)
            for trial, ended in zip(
                batch, self.launcher.launch(jobs, batch[0].number), strict=True
            ):
                where = (
                    ended.hydra_cfg.hydra.runtime.output_dir
                    if ended.hydra_cfg
                    else ended.working_dir
                )
                self._tell(study, trial.number, Path(str(where)))

    def _study(self, file: Path) -> "Study":
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        refuse_special(file)
        storage = optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(file))
        )
        pruner = instantiate(self.pruner)
        try:
            study = optuna.create_study(
                storage=storage,
                study_name="sweep",
                directions=self.directions,
                pruner=pruner,
                load_if_exists=True,
            )
            study.get_trials(deepcopy=False)
        except (
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
            ValueError,
            RecursionError,
        ) as error:
            raise ValueError(
                f"{file} cannot be read as a study ({type(error).__name__}: "
                f"{printable(error, 100)}); remove it to begin anew"
            ) from error
        # one that goes on would draw its first values again
        if self.sampler.get("seed") is not None:
            self.sampler.seed += len(study.get_trials(deepcopy=False))
        study.sampler = instantiate(self.sampler)
        return study

    def _next(self, study: "Study", space: "Space") -> "Sequence[Trial | FrozenTrial]":
        """Trials that an interrupted sweep left, else new ones; none when there are enough."""
        state = _optuna().trial.TrialState
        begun = study.get_trials(deepcopy=False)
        unfinished = [trial for trial in begun if trial.state == state.RUNNING][: self.together]
        missing = max(0, min(self.together, self.trials - len(begun)))
        return unfinished or [study.ask(dict(space)) for _ in range(missing)]

    def _tell(self, study: "Study", number: int, folder: Path) -> None:
        job, state = read_job(folder, self.metrics), _optuna().trial.TrialState
        if job.status == "pruned":
            study.tell(number, state=state.PRUNED)
        elif job.status == "finished" and None not in job.metrics:
            study.tell(number, values=[value for value in job.metrics if value is not None])
        else:
            study.tell(number, state=state.FAIL)


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ValueError(
            "sweep=random and sweep=optuna need Optuna: pip install -e '.[sweep]'"
        ) from error
    return optuna


def _distribution(override: Override) -> "BaseDistribution":
    """The values of a swept override, as Optuna has them."""
    distributions = _optuna().distributions
    value: object = override.value()
    if isinstance(value, ChoiceSweep):
        return distributions.CategoricalDistribution(list(override.sweep_string_iterator()))
    if isinstance(value, IntervalSweep | RangeSweep):
        start, log = value.start, "log" in value.tags
        if isinstance(value, IntervalSweep):
            assert start is not None
            assert value.end is not None
            return distributions.FloatDistribution(float(start), float(value.end), log=log)
        if isinstance(start, int) and isinstance(value.step, int):
            assert value.stop is not None
            last = int(value.stop) - 1
            return distributions.IntDistribution(start, last, step=value.step, log=log)
    raise ValueError(
        f"{override.input_line} cannot be swept by a study; give a,b,c or range(1,9) or "
        "interval(0.1,0.5)"
    )


def _overrides(trial: "Trial | FrozenTrial", space: "Space", folder: Path) -> list[str]:
    """Values of what is swept now, from a study that anyone may have written: each as it is asked
    for, or none.

    Raises:
        ValueError: where a trial has other settings, or values that the command line does not
            offer.
    """
    for key in space.keys() | trial.params.keys():
        if (
            key not in space
            or key not in trial.params
            or not _offered(space[key], trial.params[key])
        ):
            raise ValueError(
                f"{folder / 'study.log'}: trial {trial.number} has {printable(key, 60)}="
                f"{printable(trial.params.get(key), 60)}, which this command does not offer; "
                "remove the folder, or start the "
                "sweep elsewhere (hydra.sweep.dir=...)"
            )
    return [f"{key}={trial.params[key]}" for key in space]


def _offered(distribution: "BaseDistribution", value: object) -> bool:
    """Whether a swept override may have a value: one of its words, or a number between its ends."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return any(
            value is choice or (type(value) is type(choice) and value == choice)
            for choice in distribution.choices
        )
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if type(value) is float:
        return type(distribution.low) is float and distribution.low <= value <= distribution.high
    return type(value) is int and distribution.low <= value <= distribution.high
