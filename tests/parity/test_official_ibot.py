"""iBOT against bytedance/ibot @ da316d8: tolerances on max |a - b| / max |b|."""

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.positions import resize_positions
from mim.encoder.vit import ViT
from mim.head.projection import ProjectionHead
from mim.loss.distillation import ClsDistillation, PatchDistillation
from mim.model.ibot import IBOT
from mim.optim.number import Cosine, Linspace
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.views import Seen, Shown
from tests.parity.distilled import (
    Given,
    check_end,
    check_norms,
    encoder_of,
    ours,
    split_of,
    train,
    training_of,
    views_of,
)
from tests.stored import numbered


class NoHead(nn.Module):
    """Head that is not asked."""

    norm = None

    def __init__(self, **sizes):
        super().__init__()


@pytest.fixture
def vit(golden):
    reference = golden("ibot_vit")
    model = IBOT(encoder_of(reference.meta), Given(), NoHead, {"cls": 1, "patch": 1})
    weights = {f"backbone.{name}": value for name, value in reference.under("sd.").items()}
    model.load_state_dict(ours(weights))
    return SimpleNamespace(reference=reference, model=model, encoder=model.encoder)


def test_tokens_and_gradients_of_masked_and_of_small_views_are_official(vit, distance):
    r, model, encoder = vit.reference, vit.model, vit.encoder
    tokens = encoder.encode(model.cover(r["images"], r["mask"].flatten(1).bool()))
    local = encoder(r["local_images"])
    assert distance(tokens, r["tokens"]) < 2e-5
    assert distance(local, r["local_tokens"]) < 2e-5
    loss = ((tokens * r["w_global"]).sum() + (local * r["w_local"]).sum()) / len(tokens)
    assert loss.item() == pytest.approx(r["loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(r["loss_f64"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    expected = ours({f"backbone.{name}": value for name, value in r.under("grad.").items()})
    assert len(expected) > 8
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name
    names = [next(iter(ours({f"backbone.{n}": torch.zeros(1)}))) for n in r.names("gradnorm_names")]
    for name, norm in zip(names, r["gradnorm"].tolist(), strict=True):
        if norm > 1e-7:
            assert gradient[name].norm().item() == pytest.approx(norm, rel=2e-3), name


@torch.no_grad()
def test_whole_oblong_and_large_images_are_seen_as_officially(vit, distance):
    r, encoder = vit.reference, vit.encoder
    tokens = encoder(r["images"])
    assert distance(tokens, r["tokens_unmasked"]) < 2e-5
    assert distance(tokens[:, 0], r["cls_only"]) < 2e-5
    assert distance(encoder(r["rect_images"]), r["rect_tokens"]) < 2e-5
    m, first = r.meta, encoder.pos_embed[:, :1]
    sizes = {"local": (m["local_size"],) * 2, "rect": m["rect_hw"], "large": (m["large_size"],) * 2}
    for name, size in sizes.items():
        grid = tuple(side // m["patch_size"] for side in size)
        resized = resize_positions(
            encoder.pos_embed[:, 1:], encoder.geometry.grid, grid, encoder.resize_offset
        )
        assert distance(torch.cat([first, resized], 1), r[f"pos_embed_{name}"]) < 2e-5
        plain = resize_positions(encoder.pos_embed[:, 1:], encoder.geometry.grid, grid)
        wrong = m["pos_embed_error_if_resized_with_size_argument"][name]
        assert distance(torch.cat([first, plain], 1), r[f"pos_embed_{name}"]) == pytest.approx(
            wrong, rel=0.05
        )


@torch.no_grad()
def test_attention_and_tokens_of_all_blocks_are_official(vit, distance):
    r, encoder = vit.reference, vit.encoder
    image = r["images"][:1]
    assert distance(encoder.attention(image), r["attn_last"]) < 2e-5
    left = encoder.encode_blocks(encoder.embed(image), range(1, encoder.depth + 1))
    assert distance(torch.stack([encoder.norm(x) for x in left]), r["intermediate"]) < 2e-5


def same_start(own: dict, names, stats):
    """Means and deviations of one fresh draw, within what chance makes of as many numbers."""
    for name, (mean, std, low, high) in zip(names, stats.tolist(), strict=True):
        value = own[name].float()
        if low == high:
            assert torch.all(value == low), name
        else:
            chance = max(0.05, 4 / value.numel() ** 0.5)
            assert value.std().item() == pytest.approx(std, rel=chance), name
            assert abs(value.mean().item() - mean) < 6 * std / value.numel() ** 0.5 + 1e-8, name
            assert value.abs().max().item() == pytest.approx(max(-low, high), rel=0.35), name


def numbers_of(call: str) -> dict[str, int]:
    """The sizes of what was drawn afresh, which a file tells as a call in words."""
    return {name: int(number) for name, number in re.findall(r"(\w+)=\[?(\d+)", call)}


def head_sizes(call: str) -> list[int]:
    """Those that such a call gives by place: width and values."""
    return [int(number) for number in re.findall(r"[(,] ?(\d+)(?=,)", call)]


def test_weights_start_as_officially(golden):
    torch.manual_seed(0)
    vit, head = golden("ibot_vit"), golden("ibot_head")
    sizes = numbers_of(vit.meta["init"])
    given = (sizes[name] for name in ("img_size", "patch_size", "embed_dim", "depth", "num_heads"))
    encoder = ViT(*given, positions="learned", start="dino")
    model = IBOT(encoder, Given(), NoHead, {"cls": 1, "patch": 1})
    own = dict(model.encoder.named_parameters()) | {"masked_embed": model.mask_token}
    assert len(vit.names("init.names")) == len(own)
    same_start(own, vit.names("init.names"), vit["init.stats"])
    sizes = numbers_of(head.meta["init"])
    built = ProjectionHead(
        *head_sizes(head.meta["init"]),
        sizes["patch_out_dim"],
        hidden=sizes["hidden_dim"],
        bottleneck=sizes["bottleneck_dim"],
        shared=False,
    )
    own = {name.replace("patch_layer", "last_layer2"): p for name, p in built.named_parameters()}
    same_start(own, head.names("init.names"), head["init.stats"])


def head_names(tensors, m):
    """Their names of a head -> ours."""
    layers = m["nlayers"]
    last = f"mlp.{(layers - 1) * (3 if m['norm'] else 2)}."
    found = {}
    for name, value in tensors.items():
        if layers == 1:
            name = name.replace("mlp.weight", "mlp.0.weight").replace("mlp.bias", "mlp.0.bias")
        if not m["bottleneck_dim"]:
            name = name.replace(last, "last_layer.").replace("mlp2.", "patch_layer.")
        name = name.replace("last_layer2.", "patch_layer.")
        if not (m["shared_head"] and name.startswith("patch_layer.")):
            found[name] = value
    return found


@pytest.mark.parametrize("index", numbered("ibot_head"))
def test_the_head_is_official(golden, distance, index):
    reference = golden("ibot_head")
    m, r = reference.meta["configs"][index], reference.under(f"c{index}.")
    head = ProjectionHead(
        m["in_dim"],
        m["out_dim"],
        m["out_dim"] if m["shared_head"] else m["patch_out_dim"],
        layers=m["nlayers"],
        hidden=m["hidden_dim"],
        bottleneck=m["bottleneck_dim"],
        norm={"bn": "batch", "ln": "layer", None: None}[m["norm"]],
        one_norm=m["norm"] is not None and m["nlayers"] > 2,
        activation=m["act"],
        trained_magnitude=not m["norm_last_layer"],
        shared=m["shared_head"],
    )
    weights = {
        name.removeprefix("sd."): value for name, value in r.items() if name.startswith("sd.")
    }
    head.load_state_dict(head_names(weights, m))
    x = reference["x"].requires_grad_()
    features = head.features(x)  # of all tokens at once, which is what a batch norm goes by
    cls, patch = head.last_layer(features[:, 0]), head.of_patches(features[:, 1:])
    assert distance(cls, r["cls"]) < 2e-5
    assert distance(patch, r["patch"]) < 2e-5
    if m["norm"] != "bn":
        assert distance(head(x[:, 0]), r["cls_from_2d"]) < 2e-5
        of_cls, of_patches = head.both(x[:, 0], x[:, 1:].flatten(0, 1))
        assert distance(of_cls, r["cls"]) < 2e-5
        assert distance(of_patches, r["patch"].flatten(0, 1)) < 2e-5
    weight = reference["w_patch_out" if patch.shape[-1] == m["out_dim"] else "w_patch_patch_out"]
    loss = (cls * reference["w_cls"]).sum() + (patch * weight).sum()
    assert loss.item() == pytest.approx(r["loss"].item(), rel=2e-5)
    loss.backward()
    gradients = {name: p.grad for name, p in head.named_parameters() if p.grad is not None} | {
        "x": x.grad
    }
    given = {
        name.removeprefix("grad."): value for name, value in r.items() if name.startswith("grad.")
    }
    zero = reference.meta["gradients_zero_in_theory"]
    expected = head_names({k: v for k, v in given.items() if f"c{index}.{k}" not in zero}, m)
    assert len(expected) > 2
    for name, value in expected.items():
        assert distance(gradients[name], value) < 1e-4, name
    assert ("last_layer.weight_g" in gradients) is bool(
        m["bottleneck_dim"] and not m["norm_last_layer"]
    )
    if m["norm"] == "bn":
        norm = head.mlp[1]
        assert distance(norm.running_mean, r["bn_running_mean"]) < 2e-5
        assert distance(norm.running_var, r["bn_running_var"]) < 2e-5
        assert int(norm.num_batches_tracked) == int(r["bn_num_batches_tracked"])
        head.eval()
        assert distance(head(x[:, 0]), r["cls_eval"]) < 2e-5
        assert distance(head.of_patches(head.features(x[:, 1:])), r["patch_eval"]) < 2e-5


@pytest.mark.parametrize("index", numbered("ibot_loss"))
def test_losses_gradients_centres_and_temperatures_are_official(golden, distance, index):
    reference = golden("ibot_loss")
    m, r = SimpleNamespace(**reference.meta["configs"][index]), reference.under(f"c{index}.")
    warmup, delay = m.warmup_teacher_temp_epochs, m.mim_start_epoch
    temperature = Linspace(m.warmup_teacher_temp, m.teacher_temp, warmup)
    of_patches = Linspace(m.warmup_teacher_temp2, m.teacher_temp2, warmup, after=delay)
    for schedule, name in ((temperature, "temp_schedule"), (of_patches, "temp2_schedule")):
        values = [schedule(Progress(epoch, m.nepochs, 1)) for epoch in range(m.nepochs)]
        assert values == pytest.approx(r[name].tolist(), rel=1e-9)
    terms = {
        "cls": ClsDistillation(m.out_dim, m.student_temp, temperature, m.center_momentum),
        "patch": PatchDistillation(m.patch_out_dim, m.student_temp, of_patches, m.center_momentum2),
    }
    for call, epoch in enumerate(m.epochs):
        student = {name: r[f"student_{name}"][call].requires_grad_() for name in ("cls", "patch")}
        views = [student["cls"].unflatten(0, (m.ngcrops, m.batch))]
        if m.nlcrops:
            student["local_cls"] = r["student_local_cls"][call].requires_grad_()
            views.append(student["local_cls"].unflatten(0, (m.nlcrops, m.batch)))
        hidden = r["masks"][call][: m.ngcrops].flatten(0, 1).flatten(1).bool()
        split = split_of(hidden)
        masked = split.masked_patches(hidden.shape[1])
        patch = student["patch"].flatten(0, 1)[masked.number]
        made = Shown(torch.cat(views), patch, masked, split)
        seen = Seen(
            r["teacher_cls"][call].unflatten(0, (m.ngcrops, m.batch)),
            r["teacher_patch"][call],
            torch.eye(m.patch_out_dim),
        )
        progress, found = Progress(epoch, m.nepochs, 1), {}
        for name, term in terms.items():
            term.target.begin_step(progress)
            found[name] = {"cls": m.lambda1, "patch": m.lambda2}[name] * term(made, seen)
            term.target.after_step(term, progress)
            for suffix in ("", "_f64"):
                assert found[name].item() == pytest.approx(
                    r[f"loss_{name}{suffix}"][call].item(), rel=1e-5, abs=1e-9
                )
        total = found["cls"] + found["patch"]
        assert total.item() == pytest.approx(r["loss"][call].item(), rel=1e-5)
        total.backward()
        for name, value in student.items():
            expected = r[f"grad.student_{name}"][call]
            if expected.abs().max() > 0:
                assert distance(value.grad, expected) < 1e-4
            else:
                assert value.grad.abs().max() == 0
        assert distance(terms["cls"].target.centre, r["center"][call].flatten()) < 1e-5
        assert distance(terms["patch"].target.centre, r["center2"][call].flatten()) < 1e-5


def test_several_steps_end_with_the_official_student_teacher_and_centres(golden, distance):
    r = golden("ibot_train")
    m, masker = r.meta, Given()
    temperatures = {
        "cls": (m["warmup_teacher_temp"], m["teacher_temp"]),
        "patch": (m["warmup_teacher_patch_temp"], m["teacher_patch_temp"]),
    }
    task = training_of(m, m | m["variants"]["main"], m["out_dim"], masker, temperatures)
    task.model.load_state_dict(ours(r.under("sd.")))
    passes = m["steps_per_epoch"]
    steps = train(
        task,
        m,
        m["lr"],
        lambda step: views_of(r["images"][step % passes], r["local_images"][step % passes]),
        lambda step: setattr(masker, "mask", r["masks"][step]),
    )
    for number, step in enumerate(steps):
        assert step.lr == pytest.approx(r["lr"][number].item(), rel=1e-9)
        assert step.weight_decay == pytest.approx(r["weight_decay"][number].item(), rel=1e-9)
        assert task.teacher.momentum(step.progress) == pytest.approx(
            r["momentum"][number].item(), rel=1e-12
        )
        for name in ("temp", "temp2"):
            term = task.loss.term["cls" if name == "temp" else "patch"]
            wanted = r[f"{name}_schedule"][number // passes].item()
            assert term.target.temperature(step.progress) == pytest.approx(wanted, rel=1e-9)
        for suffix in ("", "_f64"):
            assert step.loss == pytest.approx(r[f"loss{suffix}"][number].item(), rel=1e-5)
            for name, value in step.terms.items():
                assert value.item() == pytest.approx(
                    r[f"loss_{name}{suffix}"][number].item(), rel=1e-5
                )
        check_norms(r, "", number, step.norms)
    check_end(r, "", "student", task.model.state_dict(), distance)
    check_end(r, "", "teacher", task.teacher.state_dict(), distance)
    assert distance(task.loss.term["cls"].target.centre, r["center"].flatten()) < 1e-5
    assert distance(task.loss.term["patch"].target.centre, r["center2"].flatten()) < 1e-5


def test_schedules_are_official(golden):
    r = golden("ibot_train")
    for s in r.meta["schedules"]:
        values, n = r[f"sched_{s['index']}"], s["epochs"] * s["per_epoch"]
        assert len(values) == n
        lr = LinspaceCosine(s["warmup_epochs"], s["final"])
        number = Cosine(s["base"], s["final"])
        for step in range(0, n, 7):
            p = Progress(step, n, s["per_epoch"])
            ours = [s["base"] * lr(p, s["base"])]
            if not s["warmup_epochs"]:
                ours.append(number(p))
            assert ours == pytest.approx([values[step].item()] * len(ours), rel=1e-9)
