"""Folders as runs leave them, small."""

import csv
import json

import pytest
from omegaconf import OmegaConf


@pytest.fixture
def run_folder(tmp_path):
    """Write a run of pre-training: its numbers, its masker's ratio, and what else is to differ."""

    def write(name, masker="random", ratio=0.75, seed=0, status="finished", metrics=None, columns=None, **settings):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        node = {
            "score": {"_target_": f"mim.masker.score.{masker}"},
            "partition": {"_target_": "mim.masker.partition.fixed_ratio.FixedRatio", "ratio": ratio},
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
            json.dumps(numbers | {"task": "probe", "checkpoint": str(checkpoint), "table": []})
        )
        return folder

    return write
