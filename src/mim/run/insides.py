"""Insides of Lightning, torch and Optuna that a run has to reach: one function a reach, and a
contract each.

`pyproject.toml` bounds the versions that are known; where a newer one is other, the contract fails,
and not a training.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import pytorch_lightning as L
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store

if TYPE_CHECKING:
    from optuna import Study, Trial
    from pytorch_lightning.trainer.connectors.logger_connector.logger_connector import (
        _LoggerConnector,
    )


def callbacks_of(trainer: L.Trainer) -> list[L.Callback]:
    """Callbacks of a trainer, the list itself, which Lightning does not declare."""
    callbacks: list[L.Callback] = vars(trainer)["callbacks"]
    return callbacks


def steps_between_logs(trainer: L.Trainer) -> int:
    """`trainer.log_every_n_steps`, which Lightning does not declare."""
    steps: int = vars(trainer)["log_every_n_steps"]
    return steps


def leave_signals_alone(trainer: L.Trainer) -> None:
    """Keep Lightning from putting in handlers of its own.

    That of SIGTERM talks to the other processes from within the handler; that of SIGUSR1 under
    SLURM writes a checkpoint and requeues without stopping. No setting leaves them out.
    """
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = lambda: None


def take_over_limit_of_steps(trainer: L.Trainer) -> float:
    """`trainer.max_steps`, infinity for none, which Lightning no longer heeds: it would end the run
    as if it were complete.
    """
    if trainer.max_steps == -1:
        return float("inf")
    most = trainer.max_steps
    trainer.fit_loop.epoch_loop.max_steps = -1
    return most


def _logging(trainer: L.Trainer) -> "_LoggerConnector":
    """What carries what a step says to the loggers."""
    return trainer._logger_connector


def is_within_step(trainer: L.Trainer) -> bool:
    """Whether a step is being logged: what it says has not reached the loggers."""
    return trainer.training and _logging(trainer)._first_loop_iter is not None


def said_of_step(trainer: L.Trainer) -> dict[str, float]:
    """What loggers are told about the step that ends; nothing at most steps."""
    connector = _logging(trainer)
    said = connector.metrics["log"] if connector.should_update_logs else {}
    return {name: float(value) for name, value in said.items()}


def metrics_known_here(trainer: L.Trainer) -> Mapping[str, Tensor | float]:
    """Metrics, on several processes those that were summed up already: asking for others would wait
    for every process.
    """
    alone = trainer.world_size == 1
    return trainer.callback_metrics if alone else _logging(trainer)._callback_metrics


def take_over_children(trainer: L.Trainer) -> list[Popen]:
    """Processes that Lightning's launcher started, out of reach of its observer, which kills all
    without a word.
    """
    launcher: Any = trainer.strategy.launcher
    children = list(getattr(launcher, "procs", ()))
    if children:  # the observer holds the same list: empty, there is nothing left for it to kill
        launcher.procs.clear()
        launcher.procs = children
    return children


def table_of_processes() -> Store:
    """Table that all processes see, on a connection of its own: collectives block the other."""
    return dist.distributed_c10d._get_default_store().clone()


def renew_threads() -> None:
    """Make torch's pool of threads anew, in a process that may have been forked.

    The first thread that asks for the pool after a fork makes it, and another that asks meanwhile
    ends the process (`Invalid thread pool!`, pytorch/pytorch issue 178535). Threads of autograd,
    one a GPU and eight under FSDP, ask for it at once.
    """
    torch.set_num_threads(torch.get_num_threads())


def set_steps_logged(trainer: L.Trainer, steps: int) -> None:
    """Let loggers count from so many steps on."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = steps


@contextmanager
def without_forward_hooks(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Inside, the forward pass of modules calls no hook: FSDP2's gather weights, together with all
    processes.
    """
    hooked = list(modules)
    hooks = [(module._forward_pre_hooks, module._forward_hooks) for module in hooked]
    try:
        for module in hooked:
            module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
        yield
    finally:
        for module, (before, after) in zip(hooked, hooks, strict=True):
            module._forward_pre_hooks, module._forward_hooks = before, after


def trial_by_number(study: "Study", number: int) -> "Trial":
    """Trial of Optuna's study that another process began; the public way gives what cannot be
    reported to.
    """
    import optuna

    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
