"""Weights & Biases, online where there is a key and offline where there is none."""

import os
from typing import Any

from pytorch_lightning.loggers import WandbLogger


def _has_key() -> bool:
    from wandb.sdk.lib.wbauth import wbnetrc  # the same place that `wandb login` writes to

    return bool(os.environ.get("WANDB_API_KEY")) or bool(wbnetrc.read_netrc_auth(host="https://api.wandb.ai"))


def wandb_logger(
    save_dir: str, project: str = "mim", name: str | None = None, offline: bool | None = None, **settings: Any
) -> WandbLogger:
    """Build the logger.

    Args:
        save_dir: folder that receives `wandb/`; an offline run waits there for `wandb sync`.
        project: project on the server.
        name: name of the run.
        offline: whether to keep everything on disk; by default, where no key is found.
        settings: anything else that `wandb.init` takes (`entity`, `group`, `tags`, ...).
    """
    offline = not _has_key() if offline is None else offline
    return WandbLogger(save_dir=save_dir, project=project, name=name, offline=offline, **settings)
