"""What a command line chooses, and whose choices they are: train.py and eval.py share the groups of
the config tree.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mim.launch.check import nearest, refers_to
from mim.moved import moved_setting
from mim.plain import settings_of

READ_BY_ENTRY = {
    *(
        "name",
        "seed",
        "checkpoint",
        "checkpoint_key",
        "checkpoint_patches",
        "resume",
        "start_epoch",
        "steps",
        "images_per_step",
        "accelerator",
        "precision",
        "cache",
    ),
    "watch_every_n_epochs",  # of watchers, who may have been left out
}


def chosen(configs: Path, arguments: list[str]) -> list[str]:
    """Those arguments that choose a file of a group, `task=probe` and not `task.lr=1e-3`, and one
    each, no sweep.
    """
    given = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    try:
        overrides = OverridesParser.create().parse_overrides(given)
    except HydraException:
        return []
    return [
        argument
        for argument, override in zip(given, overrides, strict=True)
        if (configs / override.key_or_group).is_dir() and not override.is_sweep_override()
    ]


def files_of(configs: Path, group: str) -> list[str]:
    """What a group can be set to: its files, or those of its folders where it has none itself, as
    `experiment`.
    """
    folder = configs / group
    files = list(folder.glob("*.yaml")) or folder.rglob("*.yaml")
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in files)


def check_recipe(choices: Mapping[str, str | None], *folders: Path) -> None:
    """Refuse a recipe that is not there. Hydra would go on without a word, because a data set need
    not have one.

    Args:
        choices: by group, what was chosen.
        folders: of configs, ours and those of the user.

    Raises:
        ValueError: naming those that are.
    """
    recipe, of_the_data = choices.get("recipe"), f"{choices.get('task')}/{choices.get('data')}"
    there = sorted({name for folder in folders for name in files_of(folder, "recipe")})
    if recipe not in (None, of_the_data, *there):
        raise ValueError(f"recipe={recipe} is not a choice; {nearest(str(recipe), there)}")


def check_keys(cfg: DictConfig, overrides: Sequence[str], configs: Path, config_name: str) -> None:
    """Refuse a setting that nothing reads: one that was added, as by `+epoch=3`, or one that the
    chosen parts do without.

    Args:
        cfg: as composed.
        overrides: of the command line; what a recipe sets may well be more than is read.
        configs: folder of the config tree.
        config_name: its table of contents.

    Raises:
        ValueError: naming it and the nearest that there is.
    """
    defaults = settings_of(OmegaConf.load(configs / f"{config_name}.yaml"))
    groups = {folder.name for folder in configs.iterdir() if folder.is_dir()}
    given = {override.lstrip("+").partition("=")[0] for override in overrides}
    raw = settings_of(cfg)

    def is_read(name: str) -> bool:
        return name in groups or name in READ_BY_ENTRY or refers_to(raw, name)

    for name, value in raw.items():
        if not is_read(name) and (
            name not in defaults or (name in given and value != defaults[name])
        ):
            why = "would do nothing: what is chosen does not read it"
            raise ValueError(
                f"{name}={value} {why}; {nearest(name, list(filter(is_read, defaults)))}"
            )


def own_folder(arguments: Sequence[str]) -> str | None:
    """Folder of the user's own configs that a command line names, `--config-dir`; None without."""
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in ("--config-dir", "-cd"):
            return value if equals else next(iter(arguments[number + 1 :]), None)
    return None


def composed(
    configs: Path, config_name: str, overrides: list[str] | None = None
) -> DictConfig | None:
    """The config that these choices make, with the user's own configs, if they make one."""
    own = own_folder(sys.argv[1:])
    search = [] if own is None else [f"hydra.searchpath=['file://{Path(own).absolute()}']"]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(configs), version_base="1.3"):
            return compose(config_name, [*(overrides or []), *search])
    except HydraException:
        return None


def belongs_elsewhere(overrides: Sequence[str], configs: Path, config_name: str) -> str | None:
    """A line about a setting that is the other command's, or that had another name: `task` is what
    is trained, and `evaluate` how a checkpoint is judged.

    Args:
        overrides: arguments of the command line.
        configs: folder of the config tree.
        config_name: `train` or `eval`.
    """
    for given in overrides:
        now = moved_setting(given)
        group, _, choice = now.partition("=")
        evaluates = group == "evaluate" and choice in files_of(configs, "evaluate")
        trained = given.startswith("task=") and given.removeprefix("task=") in files_of(
            configs, "task"
        )
        if config_name == "train" and evaluates and not trained:
            return f"{given} is for eval.py: python eval.py {now} checkpoint=..."
        if config_name == "eval" and given.startswith("task=") and not evaluates:
            return (
                f"{given} is for train.py: python train.py {given} checkpoint=..."
                if trained
                else None
            )
        if config_name == "eval" and now != given:
            return f"{given} is {now} now"
    return None
