"""What a linear probe builds, in the words of the ledger."""

from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import nn

from mim.evaluate.pooled_probe import PooledProbe
from mim.evaluate.probe_cae import ProbeCAE
from mim.evaluate.probe_dino import ProbeDINO, sgd
from mim.evaluate.probe_mae import ProbeMAE
from mim.optim.lars import Lars
from mim.optim.layer_decay import Group
from mim.optim.schedule import WarmupCosine
from mim.optim.table import LinspaceCosine
from tests.recipes.views import views

WIDTH, CLASSES = 768, 1000
SHAPES = {WarmupCosine: "mae_half_cosine", LinspaceCosine: "linspace_cosine"}


def probe(cfg: DictConfig, pictures: Path) -> dict[str, Any]:
    """Facts of `eval.py evaluate=probe_mae`, `probe_cae` or `probe_dino`.

    Args:
        cfg: as composed.
        pictures: a folder in place of the data set's.
    """
    if "probe_dino" in cfg.evaluate._target_:
        return _probe_dino(cfg) | _shown(cfg, pictures)
    built_evaluation: ProbeMAE | ProbeCAE = instantiate(cfg.evaluate)
    task = built_evaluation.probe
    ((pool, built),) = task.pools.items()
    settings = built.keywords if isinstance(built, partial) else {}  # of a pool with weights
    rates = task.schedule
    assert isinstance(rates, WarmupCosine | LinspaceCosine)
    facts = {
        "pool": pool,
        "head_norm": "own_before_pool" if task.norm else "none",
        "images_per_step": task.batch_size,
        "batch_norm_images": task.batch_norm_images,
        "epochs": task.epochs,
        "warmup_epochs": rates.warmup_epochs,
        "lr.peak": task.settings[0].lr * task.batch_size / 256,
        "lr.min": rates.min_lr,
        "lr.shape": SHAPES[type(rates)],
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


def _head(task: PooledProbe) -> dict[str, Any]:
    heads = task.heads(None, WIDTH, CLASSES)
    layers: Any = heads.heads[0]
    norm, linear = layers[1], layers[2]
    optimizer = task.optimizer(heads.groups())
    matrix = optimizer.param_groups[0]
    own = {"optimizer.momentum": matrix["momentum"]}
    if isinstance(optimizer, Lars):
        assert [group["always_adapt"] for group in optimizer.param_groups] == [True, False]
        own["optimizer.trust_coefficient"] = matrix["trust_coeff"]
    else:
        own["optimizer.nesterov"] = matrix["nesterov"]
    return own | {
        "head.sd": linear.weight.std().item(),
        "head.bias": linear.bias.abs().max().item(),
        "head.batch_norm.affine": norm.affine,
        "head.batch_norm.eps": norm.eps,
        "head.batch_norm.momentum": norm.momentum,
    }
