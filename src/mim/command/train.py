"""`python -m mim train`: build data, task and trainer of a config, and fit."""

from functools import partial
from pathlib import Path
from typing import cast

import pytorch_lightning as L
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only

from mim.checkpoint.resume import continued, resumable
from mim.encoder.encoder import check_contract
from mim.launch.own_folder import check_own_folder
from mim.launch.processes import check_nodes, count_devices, portion_of_step
from mim.logger import wandb
from mim.plain import printable, settings_of
from mim.run.resumed import Resumed, restoring
from mim.run.same_config import SameConfigOnAllRanks
from mim.run.start_epoch import StartEpoch
from mim.train.labelled import Labelled
from mim.train.pretrain import Pretrain
from mim.weights.load import load_checkpoint_into


def train(cfg: DictConfig) -> None:
    """Build data, task and trainer; fit."""
    check_own_folder(cfg.paths.run)
    torch.set_float32_matmul_precision("high")
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    check_nodes(cfg.trainer.num_nodes)
    processes = count_devices(cfg.trainer.accelerator, cfg.trainer.devices) * cfg.trainer.num_nodes
    pairs = 2 if cfg.task.get("mix") else 1
    cfg.data.batch_size, cfg.trainer.accumulate_grad_batches = portion_of_step(
        cfg.images_per_step,
        processes,
        cfg.data.batch_size,
        cfg.trainer.accumulate_grad_batches,
        pairs,
    )
    if cfg.steps is not None and (not isinstance(cfg.steps, int) or cfg.steps < 1):
        raise ValueError(
            f"steps={cfg.steps} is no length of a training; 1 at least, or null for epochs="
        )
    data, task = instantiate(cfg.data), instantiate(cfg.task)
    # fine-tuning learns from labels, and asks how many classes there are
    if isinstance(task, partial):
        learner = cast(type[Labelled], task.func)
        data.learn_from(learner.learns_from)
        task = task(num_classes=data.num_classes)
    if isinstance(task, Pretrain):
        check_contract(task.model.encoder)
    task.steps = cfg.steps
    if cfg.checkpoint and cfg.resume not in (None, "auto"):
        raise ValueError(
            "checkpoint= starts anew from weights, resume= continues a run; give one of them"
        )
    resume = continued(cfg.resume, cfg.paths.run)
    config = settings_of(cfg, resolve=True)
    if cfg.checkpoint_key and not cfg.checkpoint:
        raise ValueError(
            f"checkpoint_key={cfg.checkpoint_key} chooses among weights of a file: give "
            "checkpoint=<file>"
        )
    if cfg.checkpoint_patches and not (cfg.checkpoint or resume):
        raise ValueError(
            f"checkpoint_patches={cfg.checkpoint_patches} resizes the first layer of a checkpoint: "
            "give checkpoint=<file>"
        )
    source = resumable(resume, task, config) if resume else None
    trainer = instantiate(
        cfg.trainer,
        callbacks=[
            SameConfigOnAllRanks(config),
            *([Resumed(source.changes)] if source else _starts(cfg)),
            *filter(None, instantiate(cfg.callback).values()),
        ],
        logger=list(filter(None, instantiate(cfg.logger).values())),
    )
    if cfg.checkpoint and not resume:
        matched = load_checkpoint_into(
            cfg.checkpoint, task.model, cfg.checkpoint_key, cfg.checkpoint_patches
        )
        rank_zero_only(print)(f"{'checkpoint':<14}{printable(matched, 10_000)}")
    OmegaConf.save(cfg, Path(cfg.paths.run) / "config.yaml", resolve=True)
    try:
        with restoring(source, trainer.callbacks):
            trainer.fit(task, datamodule=data, ckpt_path=source.file if source else None)
    finally:
        wandb.finish()


def _starts(cfg: DictConfig) -> list[StartEpoch]:
    """Where a run begins in the middle of its schedule, what brings it there."""
    if cfg.start_epoch is None:
        return []
    if not isinstance(cfg.start_epoch, int) or cfg.start_epoch < 1:
        raise ValueError(
            f"start_epoch={cfg.start_epoch} is no number of finished epochs; 1 at least, or leave "
            "it out"
        )
    if not cfg.checkpoint:
        raise ValueError(
            f"start_epoch={cfg.start_epoch} needs the weights of that epoch: give checkpoint=<file>"
        )
    return [StartEpoch(cfg.start_epoch, cfg.checkpoint)]
