"""Runs from Python, composed and checked as commands are: `mim.compose`, `mim.train`,
`mim.evaluate`.
"""

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple
from unittest.mock import patch

import hydra
from hydra import initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mim.door.load import LoadedEncoder, load
from mim.installed import CONFIGS
from mim.launch.check import check_config
from mim.launch.entry import check_command
from mim.launch.errors import one_line
from mim.launch.processes import count_devices
from mim.launch.quiet import silence_libraries
from mim.launch.resolvers import overrides as asked_overrides
from mim.launch.resolvers import register_resolvers
from mim.launch.signals import SIGNALS, listen
from mim.plain import Settings, read_json, settings_of

Program = Literal["train", "eval"]
OF_HYDRA = (HydraException, OmegaConfBaseException)


class Run(NamedTuple):
    """Run that has ended."""

    folder: Path
    """config.yaml, results.json, metrics.csv, checkpoints/, pictures/."""
    results: Settings
    """Content of results.json: status, metrics, speed, and what made them; nothing of a run without
    `callback=results`.
    """

    @property
    def encoder(self) -> LoadedEncoder:
        """Encoder of its last checkpoint, as `mim.load` opens it."""
        return load(self.folder)


def compose(*overrides: str, program: Program = "train") -> DictConfig:
    """Config of a run, as the command line with these overrides would have it, checked.

    Args:
        overrides: `masker=amt`, `epochs=10`, ...; values may be changed in the result, too.
        program: whose config it is, train.py's or eval.py's.

    Raises:
        ValueError: where a setting is none, or its value cannot be; the line that the command says.
    """
    register_resolvers()
    with _in_words(program, overrides, (*OF_HYDRA, TypeError)):
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            whole = hydra.compose(program, list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(whole)
        OmegaConf.set_readonly(whole.hydra, False)
        whole.hydra.runtime.output_dir = str(Path(whole.hydra.run.dir).absolute())
        HydraConfig.instance().set_config(whole)
        cfg = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        check_command(cfg, whole.hydra, CONFIGS, program)
        _settle(cfg, settings_of(cfg))
        return cfg


def train(cfg: DictConfig) -> Run:
    """Train in this process, on one device; Ctrl-C finishes the step and saves, as for the command.

    Args:
        cfg: of `mim.compose`.

    Raises:
        ValueError: where a value cannot be, or several processes are asked for.
        Interrupted: where it was stopped; everything is saved.
    """
    from mim.command.train import train as fit  # as late as the command imports it

    check_config(cfg)
    processes = count_devices(cfg.trainer.accelerator, cfg.trainer.devices) * cfg.trainer.num_nodes
    if processes > 1:
        raise ValueError(
            f"mim.train trains in this process, and trainer= asks for {processes}; give "
            "trainer.devices=1, or start them from a "
            "shell: python -m mim train ..."
        )
    silence_libraries()
    with _listening(), _in_words("train", asked_overrides()):
        fit(cfg)
    folder = Path(cfg.paths.run)
    results = folder / "results.json"
    return Run(folder, read_json(results) if results.exists() else {})


def evaluate(
    checkpoint: str | Path | Sequence[str | Path],
    evaluation: str = "knn",
    *overrides: str,
    **settings: object,
) -> Settings:
    """Judge checkpoints, as `eval.py` does -> its row: metrics, their intervals, and a table.

    Args:
        checkpoint: a run folder, a file, `timm:<name>` or `hf:<repository>`, or several of them.
        evaluation: how: knn, linear, logistic, probe, low_shot, classifier, attention_statistics,
            ...
        overrides: other settings as a command line has them, `evaluate.judge.k=[10]`.
        settings: the same by name: data="cifar10", pool=["cls", "mean"], bank_limit=1000.

    Raises:
        FileNotFoundError, ValueError: the lines that the command says.
    """
    from mim.command.evaluate import evaluate as judge

    several = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint)
    given = {"checkpoint": [str(each) for each in several], "evaluate": evaluation} | settings
    cfg = compose(
        *(f"{name}={written(value)}" for name, value in given.items()), *overrides, program="eval"
    )
    silence_libraries()
    with _in_words("eval", asked_overrides()):
        judge(cfg)
    return read_json(Path(cfg.paths.run) / "results.json")


@contextmanager
def _in_words(
    program: Program, overrides: Sequence[str], kinds: tuple[type[Exception], ...] = OF_HYDRA
) -> Iterator[None]:
    """Raise errors of some kinds as a ValueError with the line that the command says of them."""
    try:
        yield
    except kinds as error:
        with patch.object(sys, "argv", [f"{program}.py", *overrides]):  # whose words are explained
            line = one_line(error, CONFIGS, program)
        raise ValueError(line) from error


def written(value: object) -> str:
    """A value as a command line has it.

    Raises:
        ValueError: where there is no such way.
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        means_other = str(value).lower() in ("true", "false", "null", "inf", "nan")
        plain = (
            not means_other and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_./-]*", str(value)) is not None
        )
        text = str(value)
        return (
            text
            if plain
            else "'" + re.sub(r"(\\+)$", r"\1\1", re.sub(r"(\\*)'", r"\1\1\\'", text)) + "'"
        )
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{written(each)}' for key, each in value.items())}}}"
    raise ValueError(
        f"a {type(value).__name__} is no setting; give numbers, words, lists or dictionaries"
    )


def _settle(node: Container, raw: Settings | list[object]) -> None:
    """Put in place of what asks Hydra for something its answer: a later config would change it.

    Args:
        node: of a config; changed in place.
        raw: the same, unresolved and plain.
    """
    for key, value in raw.items() if isinstance(raw, dict) else enumerate(raw):
        if isinstance(value, dict | list):
            _settle(node[key], value)
        elif isinstance(value, str) and re.search(
            r"\$\{(hydra:|overrides:|run_stamp:|now:)", value
        ):
            node[key] = node[key]


@contextmanager
def _listening() -> Iterator[None]:
    """Hear signals as a command does, and give them back afterwards."""
    heard = (*SIGNALS, signal.SIGCHLD)
    before = {signum: signal.getsignal(signum) for signum in heard}
    listen()
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
