"""Trackio: a board on this computer, without an account; `trackio show --project mim` opens it."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from mim.plain import Settings

if TYPE_CHECKING:
    from trackio import Run


class Trackio(Logger):
    """Logger of numbers, settings and pictures to trackio. A run that goes on is the same run on
    the board.

    Args:
        save_dir: folder of the run, whose last two names are the run's on the board.
        project: project on the board.
        group: name of the sweep that the run is a job of.
        space_id: a Space of Hugging Face to log to instead of this computer.
        settings: anything else that `trackio.init` takes.

    Raises:
        ValueError: where trackio is not installed.
    """

    def __init__(
        self,
        save_dir: str,
        project: str = "mim",
        group: str | None = None,
        space_id: str | None = None,
        **settings: object,
    ):
        if find_spec("trackio") is None:
            raise ValueError(
                "logger=trackio needs trackio: pip install trackio (an extra of ours: trackio), or "
                "logger=csv"
            )
        super().__init__()
        self.project, self._run = project, None
        self._name = "_".join(Path(save_dir).absolute().parts[-2:])
        self._settings = {
            "group": group,
            "space_id": space_id,
            "resume": "allow",
            "embed": False,
        } | settings
        self._config: Settings = {}

    @property
    def name(self) -> str:
        """Project on the board."""
        return self.project

    @property
    def version(self) -> str:
        """Run on the board."""
        return self._name

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The run, opened when it is first asked for."""
        if self._run is None:
            import trackio

            self._run = trackio.init(
                project=self.project, name=self._name, config=self._config, **self._settings
            )
        return self._run

    @rank_zero_only
    def log_hyperparams(
        self, params: Mapping[str, object] | Namespace, *args: object, **kwargs: object
    ) -> None:
        """Settings of the run, which the board shows beside its curves; told before the first
        number.
        """
        self._config |= vars(params) if isinstance(params, Namespace) else dict(params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Numbers of a step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Pictures, by their files."""
        import trackio

        for image in images:
            self.experiment.log({key: trackio.Image(image)}, step=step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Send what is waiting, and end the run on the board."""
        if self._run is not None:
            self._run.finish()
            self._run = None
