"""The beginning of a sweep: its settings and its folder are checked before anything is written or
started.
"""

import sys

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from mim.launch.own_folder import check_own_folder
from mim.launch.top import check_sweep
from mim.plain import printable, settings_of


class Begin(Callback):
    """What Hydra calls before it makes the sweeper and the launcher."""

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Check `sweep.*`, and take links out of the folder.

        Raises:
            SystemExit: 1, once the first thing that cannot be is said in one line.
        """
        try:
            check_sweep(settings_of(OmegaConf.masked_copy(config, ["sweep"]), resolve=True))
            check_own_folder(config.hydra.sweep.dir)
        except (ValueError, OSError) as error:  # Hydra would warn, and go on
            print(f"error: {printable(error, 10_000)}", file=sys.stderr, flush=True)
            raise SystemExit(1) from error
