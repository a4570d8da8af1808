"""`python -m mim gallery`: compose and check what is asked for, then mask images with several
maskers.
"""

import argparse
from importlib import import_module
from pathlib import Path

from hydra import compose, initialize_config_dir

from mim.launch.check import check_config
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from mim.launch.there import refuse_missing, refuse_missing_folder


def run(given: argparse.Namespace, configs: Path) -> None:
    """Draw, count, print; the picture and the numbers go to a new run folder."""
    names, others = _maskers(given.settings)
    register_resolvers()
    if given.config_dir is not None:
        if not given.config_dir.is_dir():
            raise FileNotFoundError(
                f"--config-dir {given.config_dir} is no folder; give one laid out as configs/ is"
            )
        others.append(f"hydra.searchpath=['file://{given.config_dir.absolute()}']")
    with initialize_config_dir(str(configs), version_base="1.3"):
        composed = {
            name: compose("gallery", overrides=quoted([*others, f"masker={name}"]))
            for name in names
        }
    for cfg in composed.values():
        check_config(cfg)
    cfg = composed[names[0]]
    if not all(isinstance(count, int) and count > 0 for count in (cfg.pictures, cfg.images)):
        raise ValueError(
            f"pictures={cfg.pictures}, images={cfg.images}; both need a whole number above 0, e.g. "
            "pictures=6"
        )
    refuse_missing([cfg.checkpoint] if cfg.checkpoint else [])
    refuse_missing_folder(cfg.data)
    import_module("mim.command.masked_images").draw(composed)  # from here on with torch


def _maskers(settings: list[str]) -> tuple[list[str], list[str]]:
    """The maskers that are asked for, and all other settings."""
    asked = [
        setting.removeprefix("masker=") for setting in settings if setting.startswith("masker=")
    ]
    names = asked[-1].split(",") if asked else ["random", "sbm", "sbam", "am", "amt"]
    return names, [setting for setting in settings if not setting.startswith("masker=")]
