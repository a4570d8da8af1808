"""What a linear probe builds, in the words of the ledger."""

from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from mim.evaluate.heads import Heads
from mim.evaluate.probe_dino import ProbeDINO, sgd
from mim.evaluate.probe_mae import ProbeMAE
from mim.optim.lars import Lars
from mim.optim.layer_decay import Group
from tests.recipes.views import views

WIDTH, CLASSES = 768, 1000


def probe(cfg: DictConfig, pictures: Path) -> dict[str, Any]:
    """Facts of `eval.py evaluate=probe_mae`.

    Args:
        cfg: as composed.
        pictures: a folder in place of the data set's.
    """
    if "probe_dino" in cfg.evaluate._target_:
        return _probe_dino(cfg) | _shown(cfg, pictures)
    task: ProbeMAE = instantiate(cfg.evaluate)
    ((pool, built),) = task.pools.items()
    settings = built.keywords if isinstance(built, partial) else {}  # of a pool with weights
    facts = {
        "pool": pool,
        "head_norm": "own_before_pool" if task.norm else "none",
        "images_per_step": task.batch_size,
        "batch_norm_images": task.batch_norm_images,
        "epochs": task.epochs,
        "warmup_epochs": task.schedule.warmup_epochs,
        "lr.peak": task.settings[0].lr * task.batch_size / 256,
        "lr.min": task.schedule.min_lr,
        "lr.settings": len(task.settings),
        "weight_decay.start": task.settings[0].weight_decay,
        **_head(task),
        **{f"pool.{name}": value for name, value in settings.items()},
    }
    return facts | _shown(cfg, pictures)


def _shown(cfg: DictConfig, pictures: Path) -> dict[str, Any]:
    return views(OmegaConf.merge(cfg.data, {"augment": cfg.augment}), pictures)


def _probe_dino(cfg: DictConfig) -> dict[str, Any]:
    """Facts of `eval.py evaluate=probe_dino`."""
    task: ProbeDINO = instantiate(cfg.evaluate)
    layers: Any = task.heads(WIDTH, CLASSES).heads[0]
    (group,) = sgd([Group(params=list(layers.parameters()), lr=1.0, weight_decay=0.0)]).param_groups
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm1d)]
    return {
        "pool.blocks": task.blocks,
        "pool.mean_of_patches": task.mean,
        "head_norm": "own_before_pool",
        "images_per_step": task.batch_size,
        "epochs": task.epochs,
        "judge_every_n_epochs": task.judge_every_n_epochs,
        "lr.base": [setting.lr for setting in task.settings],
        "lr.min": task.schedule.min_lr,
        "weight_decay.start": task.settings[0].weight_decay,
        "optimizer.momentum": group["momentum"],
        "head.sd": layers[2].weight.std().item(),
        "head.bias": layers[2].bias.abs().max().item(),
        "head.batch_norm": norms or None,
    }


def _head(task: ProbeMAE) -> dict[str, Any]:
    heads = Heads(nn.Identity(), WIDTH, CLASSES, task.settings, task.seed, task.head_std)
    layers: Any = heads.heads[0]
    norm, linear = layers[1], layers[2]
    matrix, vector = Lars(heads.groups(), lr=0.0).param_groups
    assert matrix["always_adapt"]
    assert not vector["always_adapt"]
    return {
        "head.sd": linear.weight.std().item(),
        "head.bias": linear.bias.abs().max().item(),
        "head.batch_norm.affine": norm.affine,
        "head.batch_norm.eps": norm.eps,
        "head.batch_norm.momentum": norm.momentum,
        "optimizer.momentum": matrix["momentum"],
        "optimizer.trust_coefficient": matrix["trust_coeff"],
    }
