"""data2vec against facebookresearch/data2vec_vision @ af9a363: tolerances on max |a - b| / max
|b|.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.loss.term import Term
from mim.masker.split import Split
from mim.model.simmim import SimMIM
from mim.optim.number import Lines
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.target.features import Features
from mim.teacher.ema import EMA
from mim.weights.official_simmim import from_bare
from tests.stored import Golden

# not those with a penalty of the variance, which no published configuration has
VARIANTS = ["", *(n for n, v in Golden("data2vec").meta["variants"].items() if "var_w0" not in v)]


class Given(nn.Module):
    """Hide the patches of a mask (B, rows, columns), however many there are in each image."""

    needs_tokens = False

    def forward(self, batch, grid, tokens=None):
        hidden = self.mask.flatten(1).bool()
        # masked first, in their order
        order = hidden.byte().argsort(dim=1, descending=True, stable=True)[:, None]
        most, fewest = int(hidden.sum(1).max()), int(hidden.sum(1).min())
        count = hidden.sum(1)[:, None, None]
        place, L = torch.arange(hidden.shape[1]), hidden.shape[1]
        return Split(
            order.flip(-1)[..., : L - fewest],
            order[..., :most],
            place[: L - fewest] < L - count,
            place[:most] < count,
        )


def ours(tensors):
    """Their names -> those of our SimMIM."""
    renamed = {}
    for name, value in tensors.items():
        if name == "mask_token":
            renamed[name] = value
        elif name.startswith("lm_head."):
            renamed[name.replace("lm_head.", "decoder.")] = value
        else:
            renamed |= from_bare({name: value})
    return renamed


def encoder_of(m):
    return Beit(
        m["img_size"],
        m["patch_size"],
        m["embed_dim"],
        m["depth"],
        m["num_heads"],
        positions="shared_bias",
        mlp_ratio=m["mlp_ratio"],
        layer_scale=m["init_values"],
    )


def target_of(m):
    """The target that settings of the release describe."""
    each = [name for name in ("batch", "instance") if m.get(f"target_{name}_norm")]
    each += ["layer"] if m["target_layer_norm_last"] else []
    mean = [name for name in ("instance", "layer") if m.get(f"post_target_{name}_norm")]
    of = {"end": "block", "fc": "feed_forward"}[m["layer_results"]]
    return Features(len(m["target_layers"]), each, mean, m["target_norm_eps"], of=of)


@pytest.fixture
def student(golden):
    reference = golden("data2vec")
    m, masker = reference.meta, Given()
    assert m["target_layers"] == list(range(m["depth"]))[-len(m["target_layers"]) :]
    model = SimMIM(encoder_of(m), masker, {"features": None})
    model.load_state_dict(ours(reference.under("sd.")))
    return SimpleNamespace(reference=reference, m=m, model=model, masker=masker)


@pytest.fixture
def teacher(student):
    """The teacher of the single step: other weights than the student's."""
    built = EMA(student.model)
    weights = ours(student.reference.under("teacher.sd."))
    built.load_state_dict({k: v for k, v in weights.items() if k.startswith("encoder.")})
    return built


def rows(split, values):
    """Values of masked patches (B, 1, Lm, P) -> (all of them, P), row by row as the release has
    them.
    """
    return values[split.masked_valid]


def test_tokens_of_the_teacher_are_official(student, teacher, distance):
    numbers = list(range(1, student.m["depth"] + 1))
    tokens = torch.stack([x[:, 1:] for x in teacher(student.reference["images"], numbers)])
    assert distance(tokens, student.reference["teacher_layers"]) < 2e-5


@pytest.mark.parametrize("variant", VARIANTS)
def test_targets_loss_and_gradients_are_official(student, teacher, batch_of, distance, variant):
    reference, image = student.reference, student.reference["images"]
    m = student.m | reference.meta["variants"].get(variant, {})
    student.masker.mask = reference["mask"]
    loss = Term(target_of(m), *(["l2"] if m.get("l2_loss") else ["smooth_l1", m["l1_beta"]]))
    made = student.model(batch_of(image))
    assert distance(rows(made.split, made.prediction), reference["outputs"]) < 2e-5
    targets = loss.target(image, made.split, teacher)
    assert distance(rows(made.split, targets), reference[f"{variant}targets"]) < 2e-5
    value = loss(made.prediction, image, made.split, teacher)
    assert value.item() == pytest.approx(reference[f"{variant}loss"].item(), rel=1e-5)
    assert value.item() == pytest.approx(reference[f"{variant}loss_f64"].item(), rel=1e-5)
    value.backward()
    gradient = {name: p.grad for name, p in student.model.named_parameters() if p.grad is not None}
    names = [next(iter(ours({name: torch.zeros(1)}))) for name in reference.names("gradnorm_names")]
    norms = dict(zip(names, reference[f"{variant}gradnorm"].tolist(), strict=True))
    assert norms.keys() == gradient.keys()
    for name, norm in norms.items():
        if norm > 1e-7:
            assert gradient[name].norm().item() == pytest.approx(norm, rel=2e-3), name
    if not variant:
        expected = ours(reference.under("grad."))
        assert len(expected) > 8
        for name, value in expected.items():
            assert distance(gradient[name], value) < 1e-4, name
    assert all(p.grad is None for p in teacher.parameters())


def test_several_steps_end_with_the_official_student_and_teacher(student, batch_of, distance):
    reference, model, t = student.reference, student.model, student.m["train"]
    passes, steps = t["steps_per_epoch"], t["epochs"] * t["steps_per_epoch"]
    momentum = Lines([t["ema_decay_init"], t["ema_decay"]], [0, t["ema_start_at"] / passes])
    schedule = LinspaceCosine(t["warmup_epochs"], t["min_lr"])
    loss, teacher = (
        Term(target_of(student.m), "smooth_l1", student.m["l1_beta"]),
        EMA(model, momentum),
    )
    teacher.begin(model)
    free = set(ours(dict.fromkeys(t["no_decay"], torch.zeros(1))))
    decayed = [p for name, p in model.named_parameters() if name not in free]
    others = [p for name, p in model.named_parameters() if name in free]
    groups = [
        {"params": decayed, "weight_decay": t["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=t["betas"], eps=t["adam_eps"])
    for step in range(steps):
        progress = Progress(step, steps, passes)
        lr = t["lr"] * schedule(progress, t["lr"])
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        assert momentum(progress) == pytest.approx(reference["train.decay"][step].item(), rel=1e-12)
        for group in optimizer.param_groups:
            group["lr"] = lr
        student.masker.mask = reference["train.mask"][step]
        image = reference["train.images"][step % passes]
        made = model(batch_of(image))
        value = loss(made.prediction, image, made.split, teacher)
        assert value.item() == pytest.approx(reference["train.loss"][step].item(), rel=1e-5)
        assert value.item() == pytest.approx(reference["train.loss_f64"][step].item(), rel=1e-5)
        optimizer.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), t["clip_grad"])
        assert norm.item() == pytest.approx(reference["train.grad_norm"][step].item(), rel=1e-4)
        optimizer.step()
        teacher.after_step(model, progress)
    for who, state in (("student", model.state_dict()), ("teacher", teacher.state_dict())):
        expected = {
            k: v for k, v in ours(reference.under(f"train.final_{who}.")).items() if k in state
        }
        assert len(expected) > 3
        for name, value in expected.items():
            assert distance(state[name], value) < 1e-4, (who, name)
        names = [
            next(iter(ours({n: torch.zeros(1)})))
            for n in reference.names(f"train.final_{who}_norm_names")
        ]
        norms = dict(zip(names, reference[f"train.final_{who}_norm"].tolist(), strict=True))
        assert {name for name in norms if name.startswith("encoder.")} <= state.keys()
        for name in state.keys() & norms.keys():
            assert state[name].norm().item() == pytest.approx(norms[name], rel=1e-4), (who, name)
