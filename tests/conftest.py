"""What many tests need: stored reference numbers and batches of images."""

import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mim.batch import Batch, uncropped
from mim.draw import keys
from mim.launch.entry import check_command
from mim.launch.imports import freeze_imported
from mim.launch.resolvers import register_resolvers
from mim.launch.signals import SIGNALS
from tests.stored import Golden, unread

CONFIGS = Path(__file__).parents[1] / "configs"

# One thread for every process of the tests and for all that they start: there is one for each core
# already.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# Examples take as long as they take, and are the same in every run; `make explore` draws others,
# and more of them.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, **PATIENT)
settings.register_profile("explore", max_examples=1000, **PATIENT)
settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def runs_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder that tests, and all processes that they start, write runs into: not the checkout."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MIM_RUNS", str(folder))
        yield folder


@pytest.fixture
def signals() -> Iterator[None]:
    """For what ends with the program: after the test, signals are heard as before."""
    before = {signum: signal.getsignal(signum) for signum in (*SIGNALS, signal.SIGCHLD)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def alone() -> Iterator[None]:
    """A group of one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def composed_command() -> Callable[[str], DictConfig]:
    """The config of a command, `python train.py ...`, held against the checks that the command
    itself would make.
    """

    def compose_it(command: str) -> DictConfig:
        program, *overrides = shlex.split(command.removeprefix("python "))
        name = program.removesuffix(".py")
        register_resolvers()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose(
                name, [*overrides, "hydra.runtime.output_dir=run"], return_hydra_config=True
            )
        HydraConfig.instance().set_config(cfg)
        hydra_config = cfg.hydra
        cfg = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
        check_command(cfg, hydra_config, CONFIGS, name)
        return cfg

    return compose_it


@pytest.fixture
def golden() -> Callable[[str], Golden]:
    return Golden


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    """Build a batch from images (B, 3, H, W), with keys of an epoch."""

    def build(image: Tensor, epoch: int = 0) -> Batch:
        B = len(image)
        place = torch.arange(B)
        return Batch((uncropped(image),), torch.full((B,), -1), place, keys(0, epoch, place))

    return build


@pytest.fixture
def distance() -> Callable[[Tensor, Tensor], float]:
    """max |a - b| / max |b|, the distance that the tolerances of the reference numbers are given
    in.
    """

    def measure(a: Tensor, b: Tensor) -> float:
        assert a.shape == b.shape
        return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()

    return measure


def pytest_sessionstart(session: pytest.Session) -> None:
    """Examples that are the same in every run are so whatever was imported by then: Hypothesis
    draws some from the constants of all modules that are not installed.
    """
    if settings().derandomize:
        providers._get_local_constants = lambda: providers._local_constants


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported and collected by now stays to the end."""
    freeze_imported()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Numbers of a test do not depend on the tests before it, of which some run whole commands."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("highest")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what has a make target of its own: the rooms `gpu` and `slurm`, and all that read stored
    numbers (`make parity`).
    """
    for room in ("gpu", "slurm"):
        if Path(__file__).parent / room in item.path.parents:
            item.add_marker(room)
    if isinstance(item, pytest.Function) and "golden" in item.fixturenames:
        item.add_marker("parity")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.option.markexpr.startswith("parity") and (names := unread()):
        terminalreporter.write_line(f"no test reads {', '.join(names)}")
