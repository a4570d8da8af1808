"""I-JEPA against facebookresearch/ijepa @ 52c1ae9: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.draw import keys
from mim.encoder.vit import ViT
from mim.loss.term import Term
from mim.masker.multi_block import MultiBlock, cover, indices, visible_of
from mim.masker.split import Split
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.optim.number import Cosine, Lines
from mim.optim.stretched import StretchedCosine
from mim.part import Progress
from mim.target.features import Features
from mim.teacher.ema import EMA

PREDICTOR = {
    "predictor_embed": "embed",
    "predictor_pos_embed": "pos_embed",
    "predictor_norm": "norm",
}
PREDICTOR |= {"predictor_proj": "predict", "predictor_blocks": "blocks"}


class Given(nn.Module):
    """One context (1, B, Lv) and several targets (K, B, Lm), as the release's collator has them."""

    needs_tokens = False

    def forward(self, batch, grid, tokens=None):
        context, targets = (x.transpose(0, 1) for x in (self.context, self.targets))
        return Split(context.expand(-1, targets.shape[1], -1), targets, shared=True)


def ours(tensors, who):
    """Their encoder or predictor under the names of our model; the predictor's table gets a row for
    no cls token.
    """
    if who == "encoder":
        return {f"encoder.{name}": value for name, value in tensors.items()}
    renamed = {}
    for name, value in tensors.items():
        first, dot, rest = name.partition(".")
        if first == "predictor_pos_embed":
            value = nn.functional.pad(value, (0, 0, 1, 0))
        renamed[f"decoder.{PREDICTOR.get(first, first)}{dot}{rest}"] = value
    return renamed


def ordered(rows, targets):
    """(K * B, Lm, D), target by target -> (B, K, Lm, D)."""
    return rows.unflatten(0, (targets, -1)).transpose(0, 1)


@pytest.fixture
def case(golden):
    reference = golden("ijepa")
    m, masker = reference.meta, Given()
    encoder = ViT(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
        cls=False,
    )
    sizes = {
        "width": m["predictor_embed_dim"],
        "depth": m["predictor_depth"],
        "heads": m["num_heads"],
    }
    model = MAE(encoder, masker, partial(Decoder, **sizes), {"features": None})
    weights = ours(reference.under("encoder.sd."), "encoder") | ours(
        reference.under("predictor.sd."), "predictor"
    )
    model.load_state_dict(weights)
    masker.context, masker.targets = reference["masks_enc"], reference["masks_pred"]
    loss = Term(Features(1, [], ["layer"], m["target_norm_eps"], final_norm=True), "smooth_l1")
    return SimpleNamespace(reference=reference, m=m, model=model, masker=masker, loss=loss)


def test_predictions_targets_loss_and_gradients_are_official(case, batch_of, distance):
    reference, image, teacher = case.reference, case.reference["images"], EMA(case.model)
    teacher.load_state_dict(ours(reference.under("target.sd."), "encoder"))
    made = case.model(batch_of(image))
    K = reference["masks_pred"].shape[0]
    context = case.model.encoder.encode(
        case.model.encoder.embed(image, reference["masks_enc"].transpose(0, 1))[:, 0]
    )
    assert distance(context, reference["context"]) < 2e-5
    assert distance(made.prediction, ordered(reference["pred"], K)) < 2e-5
    targets = case.loss.target(image, made.split, teacher)
    assert distance(targets, ordered(reference["targets"], K)) < 2e-5
    value = case.loss(made.prediction, image, made.split, teacher)
    assert value.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    assert value.item() == pytest.approx(reference["loss_f64"].item(), rel=1e-5)
    value.backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    for who in ("encoder", "predictor"):
        expected = ours(reference.under(f"{who}.grad."), who)
        assert len(expected) > 3
        for name, grad in expected.items():
            if name.endswith("qkv.bias"):  # the gradient of a key bias is rounding alone
                third = len(grad) // 3
                gradient[name][third : 2 * third] = grad[third : 2 * third] = 0
            assert distance(gradient[name], grad) < 1e-4, name
        names = ours(
            dict.fromkeys(reference.names(f"{who}.gradnorm_names"), torch.zeros(1, 1, 1)), who
        )
        for name, norm in zip(names, reference[f"{who}.gradnorm"].tolist(), strict=True):
            if not name.endswith("qkv.bias"):
                assert gradient[name].norm().item() == pytest.approx(norm, rel=2e-3), name
    assert all(p.grad is None for p in teacher.parameters())


def test_several_steps_end_with_the_official_networks(case, batch_of, distance):
    reference, model, t = case.reference, case.model, case.m["train"]
    passes, steps = t["steps_per_epoch"], t["steps"]
    momentum = Lines(t["ema"], [0, t["epochs"]])
    schedule = StretchedCosine(t["warmup"], t["start_lr"], t["final_lr"], t["ipe_scale"])
    decay = Cosine(t["weight_decay"], t["final_weight_decay"], t["ipe_scale"], ahead=True)
    teacher = EMA(model, momentum)
    teacher.begin(model)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if p.ndim > 1], "weight_decay": 0.0},
        {"params": [p for name, p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=t["betas"], eps=t["adam_eps"])
    for step in range(steps):
        progress = Progress(step, steps, passes)
        lr = t["lr"] * schedule(
            Progress(step - schedule.late, t["epochs"] * passes, passes), t["lr"]
        )
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        groups[0]["weight_decay"] = decay(progress)
        assert groups[0]["weight_decay"] == pytest.approx(
            reference["train.weight_decay"][step].item(), rel=1e-9
        )
        assert momentum(progress) == pytest.approx(
            reference["train.momentum"][step].item(), rel=1e-9
        )
        optimizer.param_groups[0]["weight_decay"] = groups[0]["weight_decay"]
        for group in optimizer.param_groups:
            group["lr"] = lr
        case.masker.context, case.masker.targets = (
            reference[f"train.masks_{who}.{step}"] for who in ("enc", "pred")
        )
        image = reference["train.images"][step % passes]
        made = model(batch_of(image))
        value = case.loss(made.prediction, image, made.split, teacher)
        assert value.item() == pytest.approx(reference["train.loss"][step].item(), rel=1e-5)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        teacher.after_step(model, progress)
    assert not teacher.training
    for who, state in (("encoder", model), ("predictor", model), ("target", teacher)):
        kind = "predictor" if who == "predictor" else "encoder"
        expected = ours(reference.under(f"train.final_{who}."), kind)
        assert len(expected) > 2
        for name, value in expected.items():
            assert distance(state.state_dict()[name], value) < 1e-4, (who, name)


@pytest.fixture
def collated(golden):
    """Blocks of the release's collator: each configuration with its number."""
    reference = golden("ijepa_masks")
    return reference, list(enumerate(reference.meta["configs"]))


def release(c):
    """The masker that draws as the release does."""
    settings = {"min_visible": c["min_keep"] + 1, "border": False, "one_draw": True}
    return MultiBlock(
        c["npred"], c["pred_mask_scale"], c["aspect_ratio"], c["enc_mask_scale"], **settings
    )


def test_sizes_of_blocks_are_official(collated):
    reference, configs = collated
    for number, c in configs:
        masker, grid = release(c), (c["grid"], c["grid"])
        for kind, (scale, aspect) in enumerate(
            ((masker.scale, masker.aspect), (masker.context_scale, (1.0, 1.0)))
        ):
            draws = reference[f"uniform_{number}"][:, kind : kind + 1].expand(-1, 2)
            assert (
                masker.sides(draws, scale, aspect, grid).tolist()
                == reference[f"block_size_{number}"][:, kind].tolist()
            )


def test_contexts_and_targets_of_drawn_places_are_official(collated):
    """Also where places are rejected, and where targets may be overlapped at last; but for the cut
    to the shortest context.
    """
    reference, configs = collated
    for number, c in (each for each in configs if not each[1]["allow_overlap"]):
        grid, K, contexts = (c["grid"], c["grid"]), c["npred"], c["nenc"]
        corners, at = reference[f"draw_{number}"], 0
        for call in range(c["calls"]):
            target, context = reference[f"block_size_{number}"][call]
            known, drawn = reference[f"enc_{number}_{call}"], reference[f"pred_{number}_{call}"]
            for image in range(c["batch"]):
                targets = torch.cat([corners[at : at + K], corners[at : at + K] + target], -1)[None]
                assert (
                    indices(cover(targets, grid), drawn.shape[2])[0][0].tolist()
                    == drawn[:, image].tolist()
                )
                at += K
                for which in range(contexts):
                    tries = corners[at : at + 20 * (K + 1)]
                    tries = torch.cat([tries, tries[-1:].expand(20 * (K + 1) - len(tries), -1)])
                    boxes = torch.cat([tries, tries + context], -1).unflatten(0, (K + 1, 20))[None]
                    visible, first = visible_of(targets, boxes, grid, c["min_keep"] + 1)
                    at += int(first) + 1
                    found = visible.flatten().nonzero()[:, 0].tolist()
                    assert found[: known.shape[2]] == known[which, image].tolist()
            assert at == reference[f"draws_up_to_call_{number}"][call]


def test_masks_have_the_official_shares(collated, batch_of):
    """How much of an image is shown, once contexts are cut to the shortest of eight, and how often
    each place is predicted: to five standard errors of our steps.
    """
    reference, configs = collated
    number, c = min(
        (each for each in configs if each[1]["nenc"] == 1 and not each[1]["allow_overlap"]),
        key=lambda each: each[1]["grid"],
    )
    grid, steps, images = (c["grid"], c["grid"]), 100, c["stat_batch"]
    L, masker = c["grid"] ** 2, release(c).train()
    batch = batch_of(torch.zeros(images, 3, 1, 1))
    shown, union, places = [], [], []
    for step in range(steps):
        masker.begin_step(Progress(step, steps, 1))
        split = masker(batch._replace(key=keys(0, step, torch.arange(images))), grid)
        shown.append(split.visible_valid[:, 0].sum(1).amin() / L)
        count = torch.zeros(images, L).scatter_add_(
            1, split.masked.flatten(1), split.masked_valid.flatten(1).float()
        )
        union.append((count > 0).float().mean())
        places.append(count.mean(0).view(grid))
    theirs = reference[f"stat.target_occupancy_{number}"].float()
    theirs = theirs * torch.stack(places).mean(0).sum() / theirs.sum()
    for found, expected in (
        (shown, c["mean_context_share"]),
        (union, c["mean_union_share_of_targets"]),
        (places, theirs),
    ):
        values = torch.stack(found)
        chance = 5 * values.std(0) / steps**0.5
        assert ((values.mean(0) - expected).abs() <= chance).all()
        assert (chance < 0.5 * values.mean()).all()
    assert sum(place[-1].sum() + place[:, -1].sum() for place in places) == 0
