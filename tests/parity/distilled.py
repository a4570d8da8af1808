"""Our self-distillation with the settings and weights of a golden file: what tests of DINO and iBOT
share.
"""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from timm.optim import param_groups_weight_decay
from torch import Tensor, nn

from mim.batch import Batch, View, uncropped
from mim.encoder.vit import ViT
from mim.head.projection import ProjectionHead
from mim.loss.across_views import AcrossViews
from mim.loss.distillation import ClsDistillation, PatchDistillation
from mim.masker.split import Split
from mim.model.ibot import IBOT
from mim.optim.clip import ClipEachParameter
from mim.optim.number import Cosine, Linspace
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.teacher.views import ViewsEMA
from mim.train.pretrain import Pretrain


class Given(nn.Module):
    """Hide the patches of a mask (V, B, rows, columns), view by view."""

    needs_tokens = False
    mask: Tensor

    def forward(self, batch: Batch, grid: tuple[int, int], tokens: Tensor | None = None) -> Split:
        return split_of(self.mask.flatten(0, 1).flatten(1).bool())


def split_of(hidden: Tensor) -> Split:
    """Split of masks (N, L), of which each has a number of its own, with padding behind."""
    order = hidden.byte().argsort(dim=1, descending=True, stable=True)[:, None]
    count, place = hidden.sum(1)[:, None, None], torch.arange(hidden.shape[1])
    most = max(1, int(count.max()))
    return Split(
        order.flip(-1),
        order[..., :most],
        place < len(place) - count,
        place[:most] < count,
        whole=True,
    )


def views_of(*crops: Tensor) -> Batch:
    """Batch of crops, each (views, B, 3, H, W)."""
    views: tuple[View, ...] = tuple(uncropped(image) for crop in crops for image in crop)
    place = torch.arange(len(views[0].image))
    return Batch(views, torch.full_like(place, -1), place, place)


def ours(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their names of student or teacher -> those of our model."""
    found = {}
    for name, value in tensors.items():
        if name == "backbone.masked_embed":
            found["mask_token"] = value.view(1, 1, -1)
        elif not name.startswith("head.last_layer2."):  # of a shared head the same tensors again
            found[name.replace("backbone.", "encoder.")] = value
    return found


def encoder_of(m: dict) -> ViT:
    sizes = (
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
    )
    return ViT(*sizes, positions="learned", start="dino")


def training_of(
    m: dict,
    t: dict,
    out: int,
    masker: nn.Module | None,
    temperatures: dict[str, tuple[float, float]],
):
    """Task with the settings `t` of a training of a model `m`; temperatures of the teacher by term,
    at both ends.
    """
    head = partial(
        ProjectionHead,
        layers=m["head_nlayers"],
        hidden=m["head_hidden_dim"],
        bottleneck=m["head_bottleneck_dim"],
        trained_magnitude=not t.get("norm_last_layer", m.get("norm_last_layer")),
        frozen_epochs=t["freeze_last_layer"],
    )
    warmup = t["warmup_teacher_temp_epochs"]
    kinds = {"cls": ClsDistillation, "patch": PatchDistillation}
    terms = {
        name: kinds[name](
            out,
            t["student_temp"],
            Linspace(start, end, warmup) if warmup else end,
            t["center_momentum"],
        )
        for name, (start, end) in temperatures.items()
    }
    weight = {"cls": t.get("lambda1", 1.0), "patch": t.get("lambda2", 1.0)}
    loss = AcrossViews(terms, {name: weight[name] for name in terms})
    views = m.get("global_crops_number", 2)
    model = partial(IBOT, encoder_of(m), masker, head, views=views)
    teacher = partial(ViewsEMA, momentum=Cosine(t["momentum_teacher"], 1.0))
    return Pretrain(model, loss, torch.optim.AdamW, LinspaceCosine(0), 1.0, 0.0, teacher=teacher)


def train(task: Pretrain, t: dict, peak: float, batch_at, before_step) -> list[SimpleNamespace]:
    """Steps as `Training` makes them: what each had and made. `batch_at(step)` gives views,
    `before_step(step)` is told of each.
    """
    passes = t["steps_per_epoch"]
    steps = t.get("steps", t["epochs"] * passes)
    schedule = LinspaceCosine(t["warmup_epochs"], t["min_lr"])
    decay, clip = (
        Cosine(t["weight_decay"], t["weight_decay_end"]),
        ClipEachParameter(t["clip_grad"]),
    )
    groups = param_groups_weight_decay(
        task.model, 1.0, no_weight_decay_list=task.model.no_weight_decay()
    )
    decayed = [bool(group["weight_decay"]) for group in groups]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=t["betas"], eps=t["adam_eps"])
    for part in task.parts:
        part.begin(task.model)
    task.train()
    found = []
    for step in range(steps):
        progress = Progress(step, t["epochs"] * passes, passes)
        before_step(step)
        for part in task.parts:
            if step % passes == 0:
                part.begin_epoch(step // passes)
            part.begin_step(progress)
        lr = peak * schedule(progress, peak)
        now = decay(progress)
        for group, is_decayed in zip(optimizer.param_groups, decayed, strict=True):
            group.update(lr=lr, weight_decay=now if is_decayed else 0.0)
        loss, terms, _ = task.objective(batch_at(step))
        optimizer.zero_grad()
        loss.backward()
        norms = {
            name: p.grad.norm().item()
            for name, p in task.model.named_parameters()
            if p.grad is not None
        }
        clip(task.model.parameters())
        for part in task.parts:
            part.before_step(task.model)
        optimizer.step()
        for part in task.parts:
            part.after_step(task.model, progress)
        found.append(
            SimpleNamespace(
                progress=progress,
                lr=lr,
                weight_decay=now,
                loss=loss.item(),
                terms=terms,
                norms=norms,
            )
        )
    return found


def check_end(reference, prefix: str, who: str, state: dict[str, Tensor], distance) -> None:
    """Some weights at the end, and the norms of all; keys have a bias whose gradient is rounding
    noise.
    """
    expected = ours(reference.under(f"{prefix}final_{who}."))
    assert len(expected) > 6
    for name, value in expected.items():
        assert distance(state[name], value) < 1e-4, (who, name)
    names = [
        next(iter(ours({n: torch.zeros(1)})), "")
        for n in reference.names(f"{prefix}final_{who}_norm_names")
    ]
    norms = dict(zip(names, reference[f"{prefix}final_{who}_norm"].tolist(), strict=True))
    assert norms.keys() - {""} <= state.keys()
    for name in norms.keys() - {""}:
        if not name.endswith("qkv.bias"):
            assert state[name].norm().item() == pytest.approx(norms[name], rel=1e-4), (who, name)


def check_norms(reference, prefix: str, step: int, norms: dict[str, float]) -> None:
    """Norms of all gradients before they are cut down, but for key biases."""
    names = [
        next(iter(ours({n: torch.zeros(1)})), "") for n in reference.names(f"{prefix}clip_names")
    ]
    expected = dict(zip(names, reference[f"{prefix}clip_norms"][step].tolist(), strict=True))
    assert norms.keys() <= expected.keys()
    for name in norms:
        if name.endswith("qkv.bias"):
            continue
        assert norms[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-7), (step, name)
