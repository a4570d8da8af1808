"""`python -m mim evaluate`: open checkpoints, judge them on images, write one row."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from lightning_fabric import Fabric
from lightning_fabric.utilities import move_data_to_device
from omegaconf import DictConfig
from torch import nn

from mim.batch import Batch
from mim.data.module import Data
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.evaluation import DenseEvaluation, Evaluation
from mim.evaluate.feature_cache import digest, tensors_key
from mim.installed import CONFIGS
from mim.launch.own_folder import check_own_folder
from mim.launch.provenance import provenance
from mim.launch.resolvers import overrides
from mim.launch.top import Precision
from mim.launch.values import check_value
from mim.logger import wandb
from mim.logger.record import log_row
from mim.plain import Settings, printable, settings_of
from mim.ranges import Count
from mim.sweep.table import markdown
from mim.weights.architecture import with_name
from mim.weights.build import build_encoder, encoder_config
from mim.weights.classifier import open_classifier
from mim.weights.dense import open_dense
from mim.weights.into_model import load_weights_into
from mim.weights.own_data import data_of_run, is_trained_on
from mim.weights.read import read_weights
from mim.weights.settings import DATA, build
from mim.weights.weights import Weights

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
NO_AUGMENT = {"_target_": "mim.augment.no_augment.NoAugment"}


def evaluate(cfg: DictConfig) -> None:
    """Open every checkpoint, judge them, write one row and print it."""
    started = time.monotonic()
    check_own_folder(cfg.paths.run)
    torch.set_float32_matmul_precision("high")  # as in training
    evaluation = instantiate(cfg.evaluate)
    if not isinstance(evaluation, Evaluation):
        raise ValueError(
            f"{type(evaluation).__name__} does not say whether it learns from training images; "
            "an evaluation is what mim/evaluate/evaluation.py says: give it learns = False, or True"
        )
    sources = [cfg.checkpoint] if isinstance(cfg.checkpoint, str) else list(cfg.checkpoint)
    if not sources:
        raise ValueError(
            "checkpoint=[] names nothing to judge; give a run folder, a file, timm:<name> or "
            "hf:<repository>"
        )
    loggers = list(filter(None, instantiate(cfg.logger).values()))
    checkpoints = [_open(source, cfg, evaluation) for source in sources]
    asked = settings_of(cfg)
    choices = HydraConfig.get().runtime.choices
    row = evaluation(checkpoints) | {
        "evaluate": choices["evaluate"],
        "checkpoint": asked["checkpoint"],
    }
    device = next(checkpoints[0].encoder.parameters()).device
    made = {"wall_seconds": time.monotonic() - started}
    made |= provenance("eval.py", overrides(), cfg.seed, device, 1)
    (Path(cfg.paths.run) / "results.json").write_text(json.dumps(row | made, indent=2) + "\n")
    _say(row)
    try:
        log_row(loggers, row, Path(cfg.paths.run))
    finally:
        wandb.finish()


def _open(source: str, cfg: DictConfig, evaluation: Evaluation) -> EvaluatedCheckpoint:
    """Build the encoder that a checkpoint is of, and the data to judge it on."""
    own, heads, name = _said_of_encoders(cfg)
    weights = with_name(
        read_weights(source, cfg.checkpoint_key)._replace(own_encoder=own).with_heads(heads), name
    )
    images = _images(cfg, weights)
    data = _build_data(images, cfg, weights)
    encoder = build_encoder(weights, data.image_size, channels=data.channels)
    print(f"{'checkpoint':<14}{printable(load_weights_into(weights, encoder), 10_000)}")
    precision: Precision = cfg.precision or _own_precision(weights)
    fabric = Fabric(accelerator=cfg.accelerator, devices=1, precision=precision)
    data.only_judged = not evaluation.learns and not is_trained_on(weights, images)
    labels = evaluation.labels if isinstance(evaluation, DenseEvaluation) else None
    if isinstance(evaluation, DenseEvaluation):
        data.learn_from(evaluation.labels)
        data.squares = evaluation.squares
    data.setup()
    words = data.words
    for name in ("folders", "left out", "normalisation", "held out"):
        if name in words:
            print(f"{name:<14}{printable(words[name], 10_000)}")

    def prepare(batch: Batch) -> Batch:
        return data.on_after_batch_transfer(move_data_to_device(batch, fabric.device))

    encoder = encoder.to(fabric.device).eval()
    built = encoder_config(weights, data.image_size, channels=data.channels)
    shown = [images, labels] if labels else images
    key = digest([tensors_key(encoder.state_dict()), built, shown, precision, fabric.device.type])
    cache = Path(cfg.cache) if cfg.cache else None

    def classifier() -> nn.Module:
        return open_classifier(weights, data.image_size, data.channels).to(fabric.device).eval()

    def dense(task: str) -> nn.Module:
        return open_dense(weights, task, data.image_size).to(fabric.device).eval()

    folder, names = Path(cfg.paths.run), _names(cfg, weights, data)
    return EvaluatedCheckpoint(
        source,
        encoder,
        data,
        prepare,
        fabric.autocast,
        folder,
        key,
        cache,
        classifier,
        names,
        dense,
    )


def _names(cfg: DictConfig, weights: Weights, data: Data) -> Sequence[str]:
    """Names of the classes of a fine-tuned head: what the checkpoint says, or those of its own data
    set.
    """
    said = weights.images.classes if weights.images else ()
    asked = settings_of(cfg)
    changed = asked.get("data") or {}
    is_own = (
        weights.config is not None
        and not {"_target_", "root", "table", "name", "train", "val"} & changed.keys()
    )
    return said or (data.classes if is_own else ())


def _said_of_encoders(cfg: DictConfig) -> tuple[str | None, int | None, str | None]:
    """The class of the user's own that checkpoints may be of, their attention heads, and timm's
    name of their model.
    """
    surplus = [str(name) for name in cfg.encoder if name not in ("_target_", "heads", "name")]
    if surplus:
        raise ValueError(
            f"encoder.{surplus[0]} would do nothing: an encoder is built as its checkpoint says"
        )
    check_value("encoder.heads", cfg.encoder.heads, Count | None)
    check_value("encoder.name", cfg.encoder.name, str | None)
    return cfg.encoder._target_, cfg.encoder.heads, cfg.encoder.name


def _images(cfg: DictConfig, weights: Weights) -> Settings:
    """The data set that is asked for, or the run's own with what is changed of it; augmented as
    asked for, or as it says itself.
    """
    asked = settings_of(cfg, resolve=True)
    images: Settings = asked.get("data") or {}
    if "_target_" not in images:
        images = data_of_run(weights, images, asked["paths"], CONFIGS)
    return images | {"augment": asked["augment"]} if asked.get("augment") else images


def _build_data(images: Settings, cfg: DictConfig, weights: Weights) -> Data:
    """The data module; what a checkpoint proposes is built of our own classes, and nothing in it is
    resolved.
    """
    if "_target_" in (cfg.get("data") or {}):
        return instantiate(images)
    if not cfg.get("augment"):
        return build(images, DATA, weights.origin, "data")
    data = build({**images, "augment": NO_AUGMENT}, DATA, weights.origin, "data")
    data.augment = instantiate(images["augment"])
    return data


def _own_precision(weights: Weights) -> Precision:
    """Of the training.

    Raises:
        ValueError: where there is none of that name.
    """
    trainer = (weights.config or {}).get("trainer")
    said = trainer.get("precision") if isinstance(trainer, dict) else None
    precision = "32-true" if said in (None, 32, "32") else said
    if precision not in PRECISIONS:
        raise ValueError(
            f"{weights.origin}: trainer.precision={printable(precision, 60)} is none of "
            f"{', '.join(PRECISIONS)}; say which, e.g. "
            "precision=32-true"
        )
    return precision


def _say(row: Settings) -> None:
    """The table, without what is the same in all its lines; then what is one number or word, in one
    line.
    """
    table = row.get("table", [])
    names = [
        name
        for name, value in (table[0].items() if table else ())
        if not isinstance(value, dict | list)
    ]
    alike = [
        name
        for name in names
        if len({line[name] for line in table}) == 1 and not isinstance(table[0][name], float)
    ]
    told = [name for name in names if len(table) == 1 or name not in alike]
    if told:
        print(markdown(told, [[_cell(line, name) for name in told] for line in table]))
    print(
        "  ".join(
            f"{printable(name)} {_cell(row, name)}"
            for name, value in row.items()
            if not isinstance(value, dict | list)
        )
    )


def _cell(row: Settings, name: str) -> str:
    """A value, and its interval if it has one."""
    value = f"{row[name]:.4f}" if isinstance(row[name], float) else printable(row[name], 10_000)
    interval = row.get(f"{name}_interval")
    return f"{value} ({interval[0]:.3f} to {interval[1]:.3f})" if interval else value
