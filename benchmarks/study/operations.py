"""Operations of an image in a training, counted on the network: forward, backward, a teacher, and
looks at attention.
"""

import json
from pathlib import Path

import torch
from hydra.utils import instantiate
from jobs import first_look, hashed, settings_of_arm
from plan import Plan
from torch.nn.attention import SDPBackend, sdpa_kernel

import mim
from mim.analysis.cost import teacher_flops
from mim.callback.throughput import flops_per_image
from mim.masker.attention_store import AttentionStore
from mim.part import parts_of


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
