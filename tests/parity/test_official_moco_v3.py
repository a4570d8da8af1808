"""MoCo v3 against facebookresearch/moco-v3 @ c349e6e: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mim.encoder.vit import ViT
from mim.loss.across_views import AcrossViews
from mim.loss.view_contrast import ViewContrast
from mim.model.siamese import ContrastHead, Siamese
from mim.optim.number import Cosine
from mim.optim.schedule import WarmupCosine
from mim.part import Progress
from mim.teacher.siamese import SiameseEMA
from mim.views import Seen, Shown
from tests.parity.distilled import views_of

WITHOUT = ("running_mean", "running_var", "num_batches_tracked")


def ours(tensors, network="base_encoder."):
    """Their tensors under our names, without running statistics, which nothing reads in
    training.
    """
    found = {}
    for name, value in tensors.items():
        if not name.endswith(WITHOUT) and name.startswith((network, "predictor.")):
            name = name.removeprefix(network)
            found[name if name.startswith(("head.", "predictor.")) else f"encoder.{name}"] = value
    return found


@pytest.fixture
def case(golden):
    reference = golden("mocov3")
    m = reference.meta
    sizes = (
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        m["mlp_ratio"],
    )
    encoder = ViT(*sizes, positions="sincos_rows_first", start="moco_v3")
    loss = AcrossViews(
        {"contrast": ViewContrast(m["moco_dim"], m["temperature"])}, {"contrast": 1.0}
    )
    head = partial(ContrastHead, hidden=m["moco_mlp_dim"], eps=m["bn_eps"])
    model = Siamese(encoder, None, partial(head, layers=3), partial(head, layers=2), loss.fit)
    tensors = ours(reference.under("sd."))
    # stored as multiples of 1 / 4096
    assert torch.allclose(encoder.pos_embed, tensors["encoder.pos_embed"], atol=2e-4)
    lacks = model.load_state_dict(tensors, strict=False)
    assert not lacks.unexpected_keys
    assert {name.rpartition(".")[0] for name in lacks.missing_keys} == {
        "head.7",
        "predictor.4",
    }  # norms without weights
    return SimpleNamespace(reference=reference, m=m, model=model.train(), loss=loss)


def test_projections_keys_loss_and_gradients_are_official(case, distance):
    reference, batch = (
        case.reference,
        views_of(case.reference["images1"][None], case.reference["images2"][None]),
    )
    teacher = SiameseEMA(case.model, case.m["momentum"])
    lacks = teacher.load_state_dict(
        {
            n: v
            for n, v in ours(reference.under("sd."), "momentum_encoder.").items()
            if not n.startswith("predictor.")
        },
        strict=False,
    )
    assert not lacks.unexpected_keys
    teacher.after_step(case.model, Progress(0, 1, 1))  # the release averages before it looks
    terms, made = case.loss.of_step(case.model, batch, teacher)
    seen = teacher(batch)
    for number in (0, 1):
        assert distance(made.cls[number], reference[f"q{number + 1}"]) < 5e-5
        assert distance(seen.cls[number], reference[f"k{number + 1}"]) < 5e-5
    loss = case.loss.weigh(terms)
    assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(reference["loss_f64"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    for name, value in ours(reference.under("grad.")).items():
        assert distance(gradient[name], value) < 2e-4, name
    names = [next(iter(ours({name: torch.zeros(1)}))) for name in reference.names("gradnorm_names")]
    assert set(names) == gradient.keys()
    after = ours(reference.under("after."), "momentum_encoder.")
    assert len(after) > 2
    for name, value in after.items():
        assert distance(teacher.state_dict()[name], value) < 5e-5, name


def test_the_term_alone_is_official(case, distance):
    """Of two directions that are the same: half of it is the release's."""
    reference = case.reference
    keys = torch.stack([reference["contrast.k"]] * 2)
    for number, temperature in enumerate(reference["contrast.T"].tolist()):
        query = reference["contrast.q"].clone().requires_grad_()
        loss = (
            ViewContrast(query.shape[1], temperature)(Shown(torch.stack([query] * 2)), Seen(keys))
            / 2
        )
        assert loss.item() == pytest.approx(reference["contrast.loss"][number].item(), rel=1e-5)
        loss.backward()
        assert distance(query.grad, reference["contrast.grad_q"][number]) < 1e-4


def test_several_steps_end_with_the_official_weights(case, distance):
    reference, model, t = case.reference, case.model, case.m["train"]
    passes, steps = t["steps_per_epoch"], t["steps"]
    momentum, schedule = Cosine(t["momentum"], 1.0, ahead=True), WarmupCosine(t["warmup_epochs"])
    teacher = SiameseEMA(model, momentum)
    teacher.begin(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, 0.0, t["betas"], t["adam_eps"], t["weight_decay"])
    for step in range(steps):
        progress = Progress(step, steps, passes)
        if step:  # with what was in force after the step before
            assert momentum(progress._replace(step=step - 1)) == pytest.approx(
                reference["train.momentum"][step].item(), rel=1e-9
            )
        optimizer.param_groups[0]["lr"] = t["lr"] * schedule(progress, t["lr"])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(
            reference["train.lr"][step].item(), rel=1e-9
        )
        terms, _ = case.loss.of_step(
            model, views_of(reference["train.images"][step % passes]), teacher
        )
        loss = case.loss.weigh(terms)
        assert loss.item() == pytest.approx(reference["train.loss"][step].item(), rel=5e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = {name: value.clone() for name, value in teacher.state_dict().items()}
        teacher.after_step(model, progress)
    for network, state in (("base_encoder.", model.state_dict()), ("momentum_encoder.", last)):
        expected = ours(reference.under("train.final."), network)
        assert len(expected) >= 3
        for name, value in expected.items():
            if name in state:
                assert distance(state[name], value) < 1e-4, (network, name)
