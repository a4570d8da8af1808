"""Folders as runs leave them, small."""

import csv
import json
from functools import partial

import pytest
import torch
from omegaconf import OmegaConf

from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM


@pytest.fixture
def run_folder(tmp_path):
    """Write a run of pre-training: its numbers, its masker's ratio, and what else is to differ."""

    def write(
        name,
        masker="random",
        ratio=0.75,
        seed=0,
        status="finished",
        metrics=None,
        columns=None,
        **settings,
    ):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        node = {
            "score": {"_target_": f"mim.masker.score.{masker}"},
            "partition": {
                "_target_": "mim.masker.partition.fixed_ratio.FixedRatio",
                "ratio": ratio,
            },
            "_target_": "mim.masker.masker.Masker",
        }
        config = {
            "name": f"mae_vit_pico_{masker}_digits",
            "seed": seed,
            "epochs": 3,
            "paths": {"run": str(folder)},
            "data": {"_target_": "mim.data.digits.Digits", "seed": seed},
            "task": {"model": {"masker": node}, "seed": seed, "log": f"{folder}/log", **settings},
        }
        OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
        results = {"status": status, "metrics": metrics or {}, "overrides": []}
        (folder / "results.json").write_text(json.dumps(results))
        if columns:
            keys = ["epoch", *columns]
            with (folder / "metrics.csv").open("w", newline="") as stream:
                lines = csv.DictWriter(stream, keys)
                lines.writeheader()
                for key, values in columns.items():
                    lines.writerows({"epoch": epoch, key: value} for epoch, value in values)
        return folder

    return write


@pytest.fixture
def judged_folder(tmp_path):
    """Write what eval.py leaves, of a checkpoint."""

    def write(name, checkpoint, **numbers):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(
            json.dumps(numbers | {"evaluate": "probe", "checkpoint": str(checkpoint), "table": []})
        )
        return folder

    return write


VIT = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
SWIN = {
    "image_size": 64,
    "patch_size": 32,
    "width": 8,
    "depths": [1, 1, 1, 1],
    "heads": [1, 1, 1, 1],
    "window": 2,
}


@pytest.fixture
def checkpoint_folder(tmp_path):
    """Write what a run of an untrained MAE, or of a SimMIM with a Swin, leaves:
    `checkpoints/last.ckpt`.
    """

    def write(name, swin=False, without_decoder=False, seed=0, **encoder):
        torch.manual_seed(seed)
        sizes = (SWIN if swin else VIT) | encoder
        built = Swin(**sizes) if swin else ViT(**sizes)
        masker = Masker(Random(), FixedRatio(0.75))
        decoder = partial(Decoder, width=8, depth=1, heads=2)
        target_dims = {"pixel": 3 * sizes["patch_size"] ** 2}
        model = (
            SimMIM(built, masker, target_dims) if swin else MAE(built, masker, decoder, target_dims)
        )
        path = tmp_path / name / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        config = {
            "name": f"mae_{name}_digits",
            "encoder": {"_target_": f"{type(built).__module__}.{type(built).__name__}", **sizes},
            "model": {"decoder": {"heads": 2}},
            "loss": {
                "_target_": "mim.loss.pixel.Pixel",
                "patch_size": sizes["patch_size"],
                "normalise": True,
            },
            "data": {
                "_target_": "mim.data.digits.Digits",
                "augment": {"_target_": "mim.augment.no_augment.NoAugment"},
                "image_size": sizes["image_size"],
                "batch_size": 64,
                "seed": 0,
            },
        }
        names = {f"model.{key}": value for key, value in model.state_dict().items()}
        if without_decoder:
            names = {key: value for key, value in names.items() if key.startswith("model.encoder.")}
        torch.save({"state_dict": names, "config": config, "epoch": 3}, path)
        return tmp_path / name

    return write
