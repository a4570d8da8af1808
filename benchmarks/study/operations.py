"""Operations of an image in a training, counted on the network: forward, backward, a teacher, and
looks at attention.
"""

import json
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from jobs import first_look, hashed, settings_of_arm
from plan import Plan
from torch.nn.attention import SDPBackend, sdpa_kernel

import mim
from mim.analysis.cost import flops, teacher_flops
from mim.batch import Batch
from mim.callback.throughput import flops_per_image
from mim.masker.attention_store import AttentionStore
from mim.part import Progress, parts_of
from mim.train.pretrain import Pretrain
from mim.train.resolution import Resolution


def operations(plan: Plan, names: list[str], data: Path, file: Path) -> dict[str, float]:
    """Floating-point operations of an image by arm, on average over the training; kept in a
    file.
    """
    known = json.loads(file.read_text()) if file.exists() else {}
    found = {}
    for name in names:
        settings = settings_of_arm(plan, name, plan.size.epochs, data)
        key = f"{name} {hashed(settings)}"
        if key not in known:
            known[key] = count(plan, name, settings)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(known, indent=2) + "\n")
        found[name] = known[key]
    return found


def count(plan: Plan, name: str, settings: list[str]) -> float:
    """The same of one arm, without fused kernels, which nobody counts."""
    torch.manual_seed(0)
    cfg = mim.compose(*settings)
    data, task = instantiate(cfg.data), instantiate(cfg.task)
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    with sdpa_kernel(SDPBackend.MATH):
        if isinstance(task, Pretrain) and task.resolution is not None:
            return growing(task, task.resolution, batch, cfg.epochs)
        first = flops_per_image(task, batch)
        share = plan.arms[name].looks
        if share is None:
            return first
        encoder, begins, epochs = task.model.encoder, first_look(share, cfg.epochs), cfg.epochs
        for store in (part for part in task.modules() if isinstance(part, AttentionStore)):
            store.maps = torch.rand(len(data.splits.train), *encoder.geometry.grid)
        for part in parts_of(task):
            part.begin_epoch(begins)
        then = flops_per_image(task, batch)
        look = teacher_flops(lambda image, _: [encoder(image)], encoder, torch.device("cpu"))
    looks = (epochs - 1) // begins
    return (begins * first + (epochs - begins) * then + looks * look) / epochs


def growing(task: Pretrain, resolution: Resolution, batch: Batch, epochs: int) -> float:
    """The same where images grow: forward and backward at the size of each epoch, on average."""
    found = []
    for epoch in range(epochs):
        resolution.begin_step(Progress(epoch, epochs, 1))
        smaller = resolution(batch)
        found.append(3 * flops(partial(task.model, smaller), len(smaller.key)))
    return sum(found) / epochs
