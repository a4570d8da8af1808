"""Weights & Biases, online where there is a key and offline where there is none."""

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment

from mim.ranges import Positive

if TYPE_CHECKING:
    from wandb.sdk.lib import RunDisabled
    from wandb.sdk.wandb_run import Run


class Wandb(WandbLogger):
    """Lightning's logger; where the server cannot be reached, one line says how to go on without
    it.

    Args:
        save_dir: folder that receives `wandb/`; an offline run waits there for `wandb sync`.
        project: project on the server.
        name: name of the run.
        offline: whether to keep everything on disk; by default, where no key is found.
        init_timeout: seconds to wait for the server.
        settings: anything else that `wandb.init` takes (`entity`, `group`, `tags`, ...).

    Raises:
        ValueError: where wandb is not installed.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "mim",
        name: str | None = None,
        offline: bool | None = None,
        init_timeout: Positive = 30.0,
        **settings: Any,
    ):
        if find_spec("wandb") is None:
            raise ValueError(
                "logger=wandb needs wandb: pip install wandb (an extra of ours: wandb), or "
                "logger=csv"
            )
        import wandb  # it takes half a second, which other loggers need not wait for

        super().__init__(
            save_dir=save_dir,
            project=project,
            name=name,
            offline=not _has_key() if offline is None else offline,
            settings=wandb.Settings(init_timeout=init_timeout),
            **settings,
        )

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run | RunDisabled":
        """The run, opened when it is first asked for.

        Raises:
            ConnectionError: where the server does not answer.
        """
        from wandb.errors import CommError

        try:
            return super().experiment
        except CommError as error:
            reason = str(error).partition(":")[0]
            raise ConnectionError(
                f"wandb's server does not answer ({reason}); keep the run on disk with "
                "logger.wandb.offline=true "
                "and send it later with `wandb sync`"
            ) from error


def finish() -> None:
    """Close the run, if one is open: the next job of a sweep must not write into it."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _has_key() -> bool:
    from wandb.sdk.lib.wbauth import wbnetrc  # the same place that `wandb login` writes to

    return bool(os.environ.get("WANDB_API_KEY")) or bool(
        wbnetrc.read_netrc_auth(host="https://api.wandb.ai")
    )
