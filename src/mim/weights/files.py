"""Tensors of one file, and what it says of them: safetensors, or what `torch.save` wrote; nothing
in it is run.
"""

import argparse
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mim.checkpoint.sound import UNREADABLE, check_archive
from mim.plain import Settings, parse_json
from mim.weights.prefixes import CONTAINERS, container_of, containers, weights_in

# What the official trainings keep beside the weights is plain values: MAE its command line, SimMIM
# its config. The latter's class is read as what it is, a dictionary, so yacs need not be there.
SETTINGS: list[Callable | tuple[Callable, str]] = [
    argparse.Namespace,
    (OrderedDict, "yacs.config.CfgNode"),
]


def is_safetensors(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(9)[8:] == b"{"  # the length of the header, then the header


def read_safetensors(file: Path) -> tuple[dict[str, Tensor], Settings]:
    """Tensors, and what a file that we wrote says about them: `config` and `images`."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise _damaged(file, error) from error
    about = {
        name: parse_json(metadata[name], f"the {name} of {file}")
        for name in ("config", "images")
        if name in metadata
    }
    return tensors, {name: value for name, value in about.items() if isinstance(value, dict)}


def open_torch(file: Path) -> object:
    """All that a file of `torch.save` holds.

    Raises:
        ValueError: where it is damaged or wants to run code.
    """
    check_archive(file)
    try:
        with torch.serialization.safe_globals(SETTINGS):
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(
            r"GLOBAL (\S+)|(?:global|class|function) ['`\"]?([\w.]+\.[\w.]+)", str(error)
        )
        if code is None:
            raise _damaged(file, error) from error
        raise ValueError(
            f"{file} wants to run {code[1] or code[2]} while it is opened, and is refused; if you "
            f"trust it, keep its weights only: {_kept(code[1] or code[2])}"
        ) from error
    except UNREADABLE as error:
        raise _damaged(file, error) from error


def _kept(code: str) -> str:
    """Line of Python that keeps the tensors of a file that wants to run something."""
    opened = "torch.load(old, weights_only=False)"
    if code.startswith("numpy."):
        arrays = f'{opened}["model"].items()'
        return f'torch.save({{"model": {{k: torch.as_tensor(v) for k, v in {arrays}}}}}, new)'
    return (
        f'torch.save({{"model": {opened}["model"]}}, new), or of a file that is a network '
        f"torch.save({opened}.state_dict(), new)"
    )


def unwrap(
    content: object, file: Path, key: str | None
) -> tuple[dict[str, Tensor], Settings, str | None]:
    held: Mapping = content if isinstance(content, Mapping) else {}
    fitting = containers(held)
    container, prefix = container_of(held, key)
    if container is not None:
        fitting = [container, *(each for each in fitting if each != container)]
    weights = weights_in(held[fitting[0]] if fitting else held)
    tensors = {k: v for k, v in weights.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise ValueError(
            f"{file} holds no weights; they are looked for at the top and under "
            f"{', '.join(CONTAINERS)}"
        )
    config, images = held.get("config"), held.get("images")
    of_a_run = {"config": config} if isinstance(config, dict) and "encoder" in config else {}
    said = {"under": f"{fitting[0]}, not {' or '.join(fitting[1:])}"} if fitting[1:] else {}
    looks = {"images": images} if isinstance(images, dict) and "mean" in images else {}
    return tensors, of_a_run | said | looks, prefix


def _damaged(file: Path, error: Exception) -> ValueError:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if any(name.endswith(".npy") for name in archive.namelist()):
                return ValueError(
                    f"{file} holds arrays of NumPy (.npz), as releases of JAX do (SigLIP), which "
                    "are not read; give weights of torch, e.g. timm:vit_base_patch16_siglip_224"
                )
    kind = type(error).__name__
    return ValueError(
        f"{file} is cut off, damaged or no checkpoint ({kind}, {file.stat().st_size:,} bytes); "
        "copy or download it again"
    )
