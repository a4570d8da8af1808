"""MSN against facebookresearch/msn @ 4388dc1: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.vit import ViT
from mim.loss.across_views import AcrossViews
from mim.loss.prototypes import PrototypeMatch
from mim.masker.split import Split
from mim.model.siamese import PrototypeHead, Siamese
from mim.optim.number import Cosine, Lines
from mim.optim.stretched import StretchedCosine
from mim.part import Progress
from mim.teacher.siamese import SiameseEMA
from mim.views import Seen, Shown
from tests.parity.distilled import views_of
from tests.stored import Golden

WITHOUT = ("running_mean", "running_var", "num_batches_tracked")
HEAD = {"fc1": "0", "bn1": "1", "fc2": "3", "bn2": "4", "fc3": "6"}


class Kept(nn.Module):
    """The patches that the release kept, the same of all images."""

    needs_tokens = False

    def forward(self, batch, grid, tokens=None):
        kept = self.kept.expand(len(batch.key), 1, -1)
        return Split(kept, kept[..., :1])


def ours(tensors):
    """Their tensors under our names, without running statistics, which nothing reads in
    training.
    """
    found = {}
    for name, value in tensors.items():
        first, _, rest = name.partition(".")
        if not name.endswith(WITHOUT):
            layer, _, kind = rest.partition(".")
            found[f"head.{HEAD[layer]}.{kind}" if first == "fc" else f"encoder.{name}"] = value
    return found


@pytest.fixture
def case(golden):
    reference = golden("msn")
    m, masker = reference.meta, Kept()
    sizes = (
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
    )
    encoder = ViT(*sizes, positions="learned", start="dino", resize_offset=0.0)
    c = m["criterion"]
    weights = {"mean_entropy": c["memax_weight"], "entropy": c["ent_weight"]}
    term = PrototypeMatch(
        m["output_dim"],
        m["num_proto"],
        c["temperature"],
        m["sharpen_of_the_single_pass"],
        **weights,
    )
    loss = AcrossViews({"match": term}, {"match": 1.0})
    head = partial(PrototypeHead, hidden=m["hidden_dim"], eps=m["bn_eps"])
    settings = {"views": 1, "own": False, "normed_over": "size", "frozen_projection": False}
    model = Siamese(encoder, masker, head, None, loss.fit, **settings)
    model.load_state_dict(ours(reference.under("sd.")))
    term.prototypes.data.copy_(reference["prototypes"])
    teacher = SiameseEMA(model)
    teacher.load_state_dict(ours(reference.under("target.sd.")))
    return SimpleNamespace(
        reference=reference, m=m, model=model, masker=masker, loss=loss, term=term, teacher=teacher
    )


def batch_at(reference, step):
    return views_of(reference["images"][step], reference["focal_images"][step])


def test_vectors_targets_loss_and_gradients_are_official(case, distance):
    reference = case.reference
    case.masker.kept = reference["kept"]
    seen = case.teacher(batch_at(reference, 0))
    terms, made = case.loss.of_step(case.model, batch_at(reference, 0), case.teacher)
    assert distance(made.cls.flatten(0, 1), reference["anchor"]) < 5e-5
    assert distance(seen.cls[0], reference["target"]) < 5e-5
    targets = case.term.targets(seen.cls[0]).repeat(len(made.cls), 1)
    assert distance(targets, reference["targets"]) < 5e-5
    loss = case.loss.weigh(terms)
    assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(reference["loss_f64"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    assert distance(case.term.prototypes.grad, reference["grad_prototypes"]) < 2e-4
    for name, value in ours(reference.under("grad.")).items():
        assert distance(gradient[name], value) < 2e-4, name
    norms = dict(
        zip(
            ours(dict.fromkeys(reference.names("gradnorm_names"), torch.zeros(1))),
            reference["gradnorm"],
            strict=True,
        )
    )
    assert norms.keys() == gradient.keys()
    assert all(p.grad is None for p in case.teacher.parameters())


# not those of smoothed labels of prototypes, which no published configuration has
UNSMOOTHED = [c["index"] for c in Golden("msn").meta["loss_configs"] if not c["smoothing"]]


@pytest.mark.parametrize("number", UNSMOOTHED)
def test_the_term_alone_is_official(case, distance, number):
    reference, c = case.reference, case.m["loss_configs"][number]
    anchor = reference["loss.anchor"].clone().requires_grad_()
    settings = {
        "sinkhorn": 3 if c["use_sinkhorn"] else 0,
        "mean_entropy": 1.0 if c["me_max"] else 0.0,
        "entropy": 0.5 if c["use_entropy"] else 0.0,
    }
    term = PrototypeMatch(
        anchor.shape[1], len(reference["loss.prototypes"]), c["tau"], c["T"], **settings
    )
    term.prototypes.data.copy_(reference["loss.prototypes"])
    loss = term(
        Shown(anchor.unflatten(0, (c["num_views"], -1))), Seen(reference["loss.target"][None])
    )
    first, second, third = reference[f"loss.{number}.values_f64"].tolist()
    expected = first + settings["mean_entropy"] * second + settings["entropy"] * third
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    targets = term.targets(reference["loss.target"]).repeat(c["num_views"], 1)
    assert distance(targets, reference[f"loss.{number}.targets"]) < 1e-5
    loss.backward()
    assert distance(anchor.grad, reference[f"loss.{number}.grad_anchor"]) < 1e-4
    assert distance(term.prototypes.grad, reference[f"loss.{number}.grad_prototypes"]) < 1e-4


def test_several_steps_end_with_the_official_weights(case, distance):
    reference, model, t = case.reference, case.model, case.m["train"]
    passes, steps = t["steps_per_epoch"], t["steps"]
    longer = 1.25 * t["epochs"]
    momentum, sharpening = (
        Lines([0.996, 1.0], [0, longer]),
        Lines([t["start_sharpen"], t["final_sharpen"]], [0, longer]),
    )
    schedule = StretchedCosine(t["warmup"], t["start_lr"], t["final_lr"], 1.25)
    decay = Cosine(t["weight_decay"], t["final_weight_decay"], 1.25, ahead=True)
    case.term.vary(sharpening=sharpening)
    teacher = case.teacher
    teacher.momentum = momentum
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed}, {"params": [*others, case.term.prototypes], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, 0.0, t["betas"], t["adam_eps"])
    for step in range(steps):
        progress = Progress(step, steps, passes)
        lr = t["lr"] * schedule(progress._replace(step=step - schedule.late), t["lr"])
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.param_groups[0]["weight_decay"] = decay(progress)
        assert decay(progress) == pytest.approx(
            reference["train.weight_decay"][step].item(), rel=1e-9
        )
        assert sharpening(progress) == pytest.approx(
            reference["train.sharpen"][step].item(), rel=1e-9
        )
        assert momentum(progress) == pytest.approx(
            reference["train.momentum"][step].item(), rel=1e-9
        )
        case.masker.kept = reference["train.kept"][step]
        case.loss.begin_step(progress)
        case.term.begin_step(progress)
        terms, _ = case.loss.of_step(model, batch_at(reference, step % passes), teacher)
        loss = case.loss.weigh(terms)
        assert loss.item() == pytest.approx(reference["train.loss"][step].item(), rel=2e-5)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), t["clip_grad"])
        assert norm.item() == pytest.approx(reference["train.grad_norm"][step].item(), rel=2e-4)
        optimizer.step()
        teacher.after_step(model, progress)
    assert distance(case.term.prototypes, reference["train.final_prototypes"]) < 1e-4
    for who, state in (("encoder", model), ("target", teacher)):
        expected = ours(reference.under(f"train.final_{who}."))
        assert len(expected) > 3
        for name, value in expected.items():
            assert distance(state.state_dict()[name], value) < 1e-4, (who, name)
