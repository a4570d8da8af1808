"""Judge a checkpoint: `python eval.py checkpoint=runs/<name>/<date_time> task=knn pool=mean data=cifar10`."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig
from torchmetrics.functional.classification import multiclass_accuracy

from mim.batch import Batch
from mim.checkpoint.build import build_encoder, check_targets
from mim.checkpoint.fit import fit
from mim.checkpoint.read import read
from mim.checkpoint.weights import Weights
from mim.launch.entry import launch
from mim.task.features import extract


def evaluate(cfg: DictConfig) -> None:
    """Build data and encoder, extract features of clean images, judge them, print one row."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = read(cfg.checkpoint)
    data = instantiate(cfg.get("data") or _own_data(weights))
    encoder = build_encoder(weights, data.image_size)
    print(f"{'checkpoint':<14}{fit(weights, encoder)}")
    encoder.to(device)
    pool = instantiate(cfg.pool)
    data.setup()

    def prepare(batch: Batch) -> Batch:
        return data.on_after_batch_transfer(Batch(*(column.to(device) for column in batch)))

    bank = extract(encoder, pool, data.bank_dataloader(cfg.bank_limit), prepare, nullcontext)
    held_out = extract(encoder, pool, data.val_dataloader(cfg.held_out_limit), prepare, nullcontext)
    scores = instantiate(cfg.task)(bank, held_out.feature, data.num_classes)
    top1 = multiclass_accuracy(scores, held_out.label, data.num_classes, average="micro").item()

    choices = HydraConfig.get().runtime.choices
    row = {f"{choices.task}/top1": top1, "pool": choices.pool, "checkpoint": str(cfg.checkpoint)}
    (Path(cfg.paths.run) / "results.json").write_text(json.dumps(row, indent=2) + "\n")
    print(
        "  ".join(
            f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )


def _own_data(weights: Weights) -> dict[str, Any]:
    """The data set of the run that wrote the weights."""
    own = (weights.config or {}).get("data")
    if own is None:
        raise ValueError(
            f"{weights.origin} does not say what it was trained on; choose where to judge it, e.g. data=cifar10"
        )
    check_targets({**own, "augment": None}, "mim.data.", weights.origin)
    check_targets(own.get("augment"), "mim.augment.", weights.origin)
    return own


if __name__ == "__main__":
    launch(evaluate, Path(__file__).parent.resolve() / "configs", "eval")
