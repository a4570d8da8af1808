"""From a command line to a checked config and an exit code."""

import gc
import logging
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import hydra
from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from mim.geometry import Geometry, check_heads, pair
from mim.installed import as_typed
from mim.launch.check import check_values, check_wiring
from mim.launch.choices import check_keys, check_recipe
from mim.launch.errors import Interrupted, Pruned, report
from mim.launch.imports import without_collection
from mim.launch.output import OutputThatMayClose, lead_nowhere
from mim.launch.processes import count_devices, is_first
from mim.launch.quiet import silence_libraries
from mim.launch.quoting import quoted
from mim.launch.resolvers import register_resolvers
from mim.launch.signals import end, listen
from mim.launch.slurm import requeue
from mim.launch.there import refuse_missing, refuse_missing_folder, refuse_missing_gpu
from mim.launch.top import check_top
from mim.plain import printable, settings_of


def launch(run: Callable[[DictConfig], object] | str, configs: Path, config_name: str) -> None:
    """Compose the config that the command line asks for, check it, run it, and exit: 0 well, 1
    refused, 85 or 130 stopped.

    The jobs of a multirun are processes of their own (hydra_plugins/fresh_launcher.py), which come
    through here one by one.

    Args:
        run: what to do with the composed config; by its dotted name, so that it is imported once
            the config is sound.
        configs: folder of the config tree.
        config_name: its table of contents, `train` or `eval`.
    """
    # Hydra prints errors its own way unless it is told to let them through; the wish of the user is
    # kept for our own printing.
    os.environ.setdefault("MIM_TRACEBACK", os.environ.get("HYDRA_FULL_ERROR", "0"))
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = _options_first(sys.argv[1:])
    sys.argv[1:] = quoted(sys.argv[1:])  # in place: processes of DDP are started with the same
    register_resolvers()
    # Which of Lightning's settings our files name is nobody's business: + adds what is not there
    # and sets what is.
    sys.argv[1:] = [re.sub(r"^\+(?=trainer\.)", "++", argument) for argument in sys.argv[1:]]
    exit_codes = [0]

    def job(cfg: DictConfig) -> None:
        try:
            check_command(cfg, HydraConfig.get(), configs, config_name)
            refuse_missing(_weights(cfg))
            refuse_missing_folder(cfg.get("data") or {})
            refuse_missing_gpu(cfg.get("data") or {})
            if "trainer" in cfg:
                count_devices(cfg.trainer.accelerator, cfg.trainer.devices)
            with without_collection():  # from here on with torch
                from mim.launch.restart import forget_earlier_attempts

                function = get_method(run) if isinstance(run, str) else run
            forget_earlier_attempts()
            silence_libraries()  # libraries choose how loud they are while they are imported
            with redirect_stdout(OutputThatMayClose(sys.stdout)):
                function(cfg)
                sys.stdout.flush()
        except Interrupted as stop:
            _say(stop)
            exit_codes.append(stop.exit_code)
            requeue(stop)
        except Pruned as end:
            print(end, flush=True)
        except KeyboardInterrupt:
            exit_codes.append(130)
        except Exception as error:
            run_folder = Path(HydraConfig.get().runtime.output_dir)
            report(error, configs, config_name, run_folder)
            exit_codes.append(1)
            _remove_if_empty(run_folder)

    try:
        listen()
        with _no_word_of_lost_lines():
            hydra.main(version_base="1.3", config_path=str(configs), config_name=config_name)(job)()
            sys.stdout.flush()
        end()  # here, where a signal that came just before it is still heard
    except Interrupted as stop:  # of a whole sweep
        _say(stop)
        exit_codes.append(stop.exit_code)
        requeue(stop)
    except KeyboardInterrupt:
        exit_codes.append(130)
    except BrokenPipeError:
        lead_nowhere(sys.stdout)
    except Exception as error:
        end()
        report(error, configs, config_name)
        exit_codes.append(1)
    end()
    _end_workers()
    sys.exit(max(exit_codes))


@contextmanager
def _no_word_of_lost_lines() -> Iterator[None]:
    """Where whoever reads has read enough (`--info | head`), logging prints a traceback for every
    line that it cannot write.
    """
    before, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        yield
    finally:
        logging.raiseExceptions = before


def _say(stop: Interrupted) -> None:
    if is_first():
        print(as_typed(str(stop)), file=sys.stderr, flush=True)


def check_command(
    cfg: DictConfig, hydra_config: HydraConf, configs: Path, config_name: str
) -> None:
    """All that a command asks of its config before anything is built; `hydra_config` knows what was
    chosen and given.

    Raises:
        ValueError: one line about the first thing that cannot be.
    """
    values = settings_of(cfg, resolve=True)
    check_top(values, config_name)
    # eval names a class of encoders and builds none
    check_values({k: v for k, v in values.items() if (config_name, k) != ("eval", "encoder")})
    _check_patches(cfg.get("encoder") or OmegaConf.create())
    check_wiring(cfg, hydra_config.runtime.choices)
    searched = [
        Path(source.path)
        for source in hydra_config.runtime.config_sources
        if source.schema == "file"
    ]
    check_recipe(hydra_config.runtime.choices, *searched)
    check_keys(cfg, hydra_config.overrides.task, configs, config_name)


def _check_patches(encoder: DictConfig) -> None:
    """Refuse patches that do not tile the images of an encoder of ours, or heads that do not divide
    its width, which would say the same once it is built.

    Raises:
        ValueError: naming patch sizes that do, or both numbers.
    """
    if encoder.get("_target_") in ("mim.encoder.vit.ViT", "mim.encoder.beit.Beit"):
        check_heads(encoder._target_.rpartition(".")[2], encoder.width, encoder.heads)
    sizes = [encoder.get(name) for name in ("image_size", "patch_size")]
    if str(encoder.get("_target_")).startswith("mim.encoder.") and None not in sizes:
        image, patch = (pair(size if isinstance(size, int) else list(size)) for size in sizes)
        Geometry.of(image, patch)


def _options_first(arguments: Sequence[str]) -> list[str]:
    """Arguments with options before settings: between two settings argparse would not know the
    second. An option that is none is refused in one line; Hydra prints all of its own.

    Raises:
        SystemExit: 1, once that is said.
    """
    known, unknown = get_args_parser().parse_known_intermixed_args(arguments)
    for option in unknown:
        if option.startswith("-"):
            name, _, value = option.lstrip("-").partition("=")
            setting = f"{name}={value or '...'}"
            print(
                f"error: {printable(option)} is no option; settings have no dashes: "
                f"{printable(setting)}",
                file=sys.stderr,
            )
            raise SystemExit(1)
    options = list(arguments)
    for setting in known.overrides:
        options.remove(setting)
    return [*options, *known.overrides]


def _weights(cfg: DictConfig) -> list[str]:
    """Weights that a config asks for, of those settings that are paths of them.

    Raises:
        MissingMandatoryValue: where one has to be given, and is not.
    """
    asked = [cfg[name] for name in ("checkpoint", "resume", "attention_from") if name in cfg.keys()]  # noqa: SIM118
    listed = [[each] if isinstance(each, str) else each or [] for each in asked]
    return [source for sources in listed for source in sources if source != "auto"]


def _end_workers() -> None:
    """Processes that read data ignore the signals that stop a run; those that an error left behind
    would keep it from ending.

    A loader that nobody holds ends its own and leaves no shared memory behind; a trainer's hangs in
    a cycle until it is collected.
    """
    if not multiprocessing.active_children():
        return
    gc.collect()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler raises where one is killed
    for worker in multiprocessing.active_children():
        worker.kill()


def _remove_if_empty(folder: Path) -> None:
    """What was refused before it began leaves nothing behind."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
