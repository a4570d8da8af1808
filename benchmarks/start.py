"""Where the seconds go before a training's first step, what a sweep of two jobs takes, and how long
it takes to only say something.

    python benchmarks/start.py

Processor seconds, not those of the clock: other programs on the machine do not change them much.
Files should have been read once before, so run it twice.
"""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
IMPORTS = {
    "mim.launch.entry": "hydra, pydantic, the checks of `mim`",
    "torch": "torch",
    "torch._dynamo": "torch._dynamo (sympy), which the first optimiser asks for",
    "torchvision": "torchvision",
    "torchmetrics": "torchmetrics (scipy), which Lightning imports whole",
    "pytorch_lightning": "Lightning",
    "timm": "timm (with wandb, where that is installed)",
    "mim.command.train": "the rest of `mim`",
}
SAID = (
    "train.py --help",
    "train.py --cfg job",
    "train.py maskr=random",
    "train.py masker.partition.ratio=lots",
    "train.py checkpoint=nowhere",
    "eval.py checkpoint=nowhere",
    "-m mim --help",
    "-m mim embed --help",
    "-m mim tables --help",
    "-m mim embed nowhere photos --out a.npz",
    "-m mim runs nowhere",
    "eval.py checkpoint=docs",
    "-m mim embed docs docs --out a.txt",
)
SWEEP = (
    "train.py -m seed=0,1 trainer=cpu callback=[results] epochs=1 warmup_epochs=0 "
    "trainer.limit_train_batches=1"
)
CHOSEN = ["trainer=cpu", "callback=[]", "logger=[]", "epochs=1", "warmup_epochs=0"]


class Lines:
    """Lines of a table: what took processor time since the one before."""

    def __init__(self) -> None:
        self.last = time.process_time()
        print(f"| Python | {self.last:.1f} |")

    def add(self, what: str) -> None:
        now = time.process_time()
        print(f"| {what} | {now - self.last:.1f} |", flush=True)
        self.last = now


def first_step() -> None:
    """Do what a training does until its first step, and say after each part how long it took."""
    print("\n| until the first step of the demo | processor seconds |\n|---|---|", flush=True)
    from mim.launch.imports import without_collection

    lines = Lines()
    for name, what in IMPORTS.items():
        with without_collection():
            import_module(name)
        lines.add(what)
        if name == "mim.launch.entry":
            cfg = compose()
            lines.add("the config: composed and checked, without torch")
    watch_by(cfg, lines)
    import_module("mim.launch.quiet").silence_libraries()
    import_module("mim.command.train").train(cfg)


def watch_by(cfg: Any, lines: Lines) -> None:
    """Let a training say when it is built and when its first step is done, and end there."""
    from pytorch_lightning import Callback

    class Mark(Callback):
        def on_train_start(self, *_: Any) -> None:
            lines.add("data, model, optimiser and trainer are built")

        def on_train_batch_end(self, *_: Any) -> None:
            lines.add("the first step")
            print(f"| together | {time.process_time():.1f} |", flush=True)
            os._exit(0)

    made: Any = ModuleType("start")
    made.Mark, sys.modules["start"] = Mark, made
    cfg.callback = {"mark": {"_target_": "start.Mark"}}


def compose() -> Any:
    """The demo's config, checked as the command checks it."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from mim.installed import CONFIGS
    from mim.launch.entry import check_command
    from mim.launch.resolvers import register_resolvers

    register_resolvers()
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        asked = [
            *CHOSEN,
            f"paths.run={os.environ['MIM_RUNS']}/start",
            "hydra.runtime.output_dir=run",
        ]
        whole = hydra.compose("train", asked, return_hydra_config=True)
    HydraConfig.instance().set_config(whole)
    cfg = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    check_command(cfg, whole.hydra, CONFIGS, "train")
    OmegaConf.set_struct(cfg, False)
    return cfg


def seconds_of(command: str) -> float:
    """Processor seconds of a command and of all processes that it begins."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, check=False)
    with suppress(ChildProcessError):
        while True:  # what its children leave behind ends soon, and is ours
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    # PR_SET_CHILD_SUBREAPER: wait for grandchildren whose parent has ended
    ctypes.CDLL(None).prctl(36, 1)
    os.environ["MIM_RUNS"] = tempfile.mkdtemp()
    print("| what is only said | processor seconds |\n|---|---|", flush=True)
    for command in SAID:
        print(f"| `python {command}` | {seconds_of(command):.1f} |", flush=True)
    print("\n| a sweep of two jobs of one step | processor seconds |\n|---|---|", flush=True)
    for share in ("true", "false"):
        seconds = seconds_of(f"{SWEEP} sweep.share_imports={share} sweep.name=share_{share}")
        print(f"| `sweep.share_imports={share}` | {seconds:.1f} |", flush=True)
    subprocess.run([sys.executable, __file__, "first"], check=True)


if __name__ == "__main__":
    os.environ.setdefault("MIM_RUNS", tempfile.mkdtemp())
    first_step() if sys.argv[1:] == ["first"] else main()
