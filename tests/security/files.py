"""A small honest run, and copies of it in which somebody has changed something."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mim.encoder.vit import ViT

SIZES = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 1, "heads": 2}
CONFIG: dict[str, Any] = {
    "seed": 0,
    "encoder": {"_target_": "mim.encoder.vit.ViT", **SIZES},
    "data": {
        "_target_": "mim.data.digits.Digits",
        "augment": {
            "_target_": "mim.augment.crop_flip.CropFlip",
            "boxes": {
                "_target_": "mim.augment.boxes.TorchvisionBoxes",
                "scale": [0.2, 1.0],
                "ratio": [0.75, 1.33],
            },
            "flip": 0.5,
        },
        "image_size": 32,
        "batch_size": 128,
        "seed": 0,
    },
    "pool": {"abmilp": {"_target_": "mim.pool.abmilp.AbMILP", "_partial_": True, "depth": 1}},
    "trainer": {"precision": "32-true"},
}


def tensors() -> dict[str, torch.Tensor]:
    """Of a whole fine-tuned classifier, under the names of a run."""
    torch.manual_seed(0)
    encoder = {
        f"model.encoder.{name}": value.clone() for name, value in ViT(**SIZES).state_dict().items()
    }
    pool = {
        "model.pool.score.0.weight": torch.zeros(1, 16),
        "model.pool.score.0.bias": torch.zeros(1),
    }
    return (
        encoder
        | pool
        | {"model.head.weight": torch.zeros(10, 16), "model.head.bias": torch.zeros(10)}
    )


def changed(path: str, value: Any) -> dict[str, Any]:
    """The config with something else at a path, `data.augment.flip`."""
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node: Any = config
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
    node[int(last) if isinstance(node, list) else last] = value
    return config


def write_ckpt(folder: Path, config: Any) -> Path:
    file = folder / "x.ckpt"
    torch.save({"state_dict": tensors(), "config": config}, file)
    return file


def write_safetensors(folder: Path, config: Any) -> Path:
    file = folder / "x.safetensors"
    ours = {name.removeprefix("model."): value for name, value in tensors().items()}
    save_file(ours, file, metadata={"config": json.dumps(config)})
    return file


def write_run(folder: Path, config: Any) -> Path:
    (folder / "run" / "checkpoints").mkdir(parents=True)
    write_ckpt(folder, config).rename(folder / "run" / "checkpoints" / "last.ckpt")
    return folder / "run"


def write_sharded(folder: Path, config: Any) -> Path:
    from torch.distributed import checkpoint as dcp

    out = folder / "sharded.ckpt"
    dcp.save({"state_dict": tensors()}, checkpoint_id=out, no_dist=True)
    torch.save({"config": config, "optimizer_groups": []}, out / "rest.pt")
    return out


WRITERS: dict[str, Callable[[Path, Any], Path]] = {
    "ckpt": write_ckpt,
    "safetensors": write_safetensors,
    "run": write_run,
    "sharded": write_sharded,
}
