"""CAE against lxtGH/CAE @ d725971: tolerances on max |a - b| / max |b|."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.model.cae import CAE
from mim.model.latent_decoder import LatentDecoder
from mim.model.regressor import Regressor
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.target.masked_features import MaskedFeatures
from mim.teacher.ema import EMA
from tests.parity.test_official_beit import Known
from tests.parity.test_official_data2vec import Given

NECK = (
    ("regressor_blocks.", "regressor.blocks."),
    ("decoder_blocks.", "decoders.codes.blocks."),
    ("norm2.", "decoders.codes.norm."),
    ("norm.", "regressor.norm."),
    ("head.", "decoders.codes.predict."),
)
BLOCK = {
    "norm1_q.": "norm_query.",
    "norm1_k.": "norm_key.",
    "norm1_v.": "norm_value.",
    "norm2_cross.": "norm_mlp.",
    "cross_attn.q.": "cross.query.",
    "cross_attn.k.": "cross.key.",
    "cross_attn.v.": "cross.value.",
    "cross_attn.q_bias": "cross.query.bias",
    "cross_attn.v_bias": "cross.value.bias",
    "cross_attn.proj.": "cross.proj.",
    "mlp_cross.": "mlp.",
    "_cross": "",
}


def our_name(name):
    """Their name of a parameter -> ours; the teacher's behind `teacher.`."""
    if name == "mask_token":
        return "regressor.mask_token"
    if name.startswith("teacher."):
        return name.replace("teacher.", "teacher.encoder.")
    inside = name.removeprefix("pretext_neck.")
    if inside == name:
        return name
    theirs, ours = next(pair for pair in NECK if inside.startswith(pair[0]))
    name = ours + inside.removeprefix(theirs)
    if theirs == "regressor_blocks.":
        for before, after in BLOCK.items():
            name = name.replace(before, after)
    return name


def ours(tensors):
    return {our_name(name): value for name, value in tensors.items()}


@pytest.fixture
def case(golden):
    reference = golden("cae")
    m, masker = reference.meta, Given()
    assert m["decoder_embed_dim"] == m["embed_dim"]
    sizes = (m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"])
    encoder = Beit(
        *sizes, "sincos_rows_first", m["mlp_ratio"], m["layer_scale_init_value"], start="cae"
    )
    each = {"heads": m["decoder_num_heads"], "mlp_ratio": m["mlp_ratio"]}
    each |= {"layer_scale": m["decoder_layer_scale_init_value"]}
    terms = {
        "codes": Term(Known(m["decoder_num_classes"]), "cross_entropy"),
        "align": Term(MaskedFeatures()),
    }
    loss = WeightedSum(terms, {"codes": 1.0, "align": m["align_loss_weight"]})
    regressor = partial(Regressor, depth=m["regressor_depth"], **each)
    decoder = partial(LatentDecoder, depth=m["decoder_depth"], **each)
    model = CAE(encoder, masker, regressor, decoder, loss.fit)
    teacher = EMA(model, m["base_momentum"], late=True)

    def fill():
        weights = ours(reference.under("sd."))
        inside = {name: value for name, value in weights.items() if not name.startswith("teacher.")}
        model.load_state_dict(inside)
        teacher.load_state_dict(
            {n.removeprefix("teacher."): v for n, v in weights.items() if n not in inside}
        )

    masker.mask, loss.term["codes"].target.known = reference["mask"], reference["codes"]
    return SimpleNamespace(
        reference=reference, m=m, model=model, teacher=teacher, loss=loss, masker=masker, fill=fill
    )


def rows(split, values):
    """Values of masked patches (B, 1, Lm, P) in the order of the grid (B, Lm, P): the release's."""
    order = split.masked[:, 0].argsort(dim=1)
    return values[:, 0].gather(1, order[..., None].expand(-1, -1, values.shape[-1]))


def test_latents_and_scores_are_official(case, batch_of, distance):
    case.fill()
    made = case.model(batch_of(case.reference["images"]))
    latents = rows(made.split, made.predictions["align"])
    assert distance(latents, case.reference["latent_pred"]) < 2e-5
    assert (
        distance(
            rows(made.split, made.predictions["codes"]).flatten(0, 1), case.reference["logits"]
        )
        < 2e-5
    )
    target = case.loss.term["align"].target(case.reference["images"], made.split, case.teacher)
    assert distance(rows(made.split, target), case.reference["latent_target"]) < 2e-5


def test_the_encoder_is_official(case, distance):
    case.fill()
    encoder, mask = case.model.encoder, case.reference["mask"].flatten(1).bool()
    visible = (~mask).nonzero()[:, 1].unflatten(0, (len(mask), -1))
    tokens = encoder.embed(case.reference["images"], visible[:, None])[:, 0]
    assert distance(encoder.encode(tokens, visible), case.reference["context"]) < 2e-5


def test_losses_and_gradients_are_official(case, batch_of, distance):
    case.fill()
    reference = case.reference
    terms, _ = case.loss.of_step(case.model, batch_of(reference["images"]), case.teacher)
    weighted = {"main": terms["codes"], "align": case.loss.weight["align"] * terms["align"]}
    for suffix in ("", "_f64"):
        for name, value in weighted.items():
            assert value.item() == pytest.approx(reference[f"loss_{name}{suffix}"].item(), rel=1e-5)
        assert case.loss.weigh(terms).item() == pytest.approx(
            reference[f"loss{suffix}"].item(), rel=1e-5
        )
    case.loss.weigh(terms).backward()
    gradient = {name: p.grad for name, p in case.model.named_parameters() if p.grad is not None}
    zero = set(map(our_name, case.m["gradients_zero_in_theory"]))
    norms = dict(
        zip(
            map(our_name, reference.names("gradnorm_names")),
            reference["gradnorm"].tolist(),
            strict=True,
        )
    )
    assert norms.keys() == gradient.keys()
    for name, norm in norms.items():
        if name not in zero:
            assert gradient[name].norm().item() == pytest.approx(norm, rel=1e-4), name
    expected = ours(reference.under("grad."))
    assert len(expected) > 8
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name
    assert all(p.grad is None for p in case.teacher.parameters())


def test_the_teacher_follows_as_theirs(case, distance):
    case.fill()
    case.teacher.begin_step(Progress(0, 1, 1))
    case.teacher.before_step(case.model)
    for name, value in ours(case.reference.under("after.")).items():
        assert distance(case.teacher.state_dict()[name.removeprefix("teacher.")], value) < 1e-6


def test_several_steps_end_with_the_official_student_and_teacher(case, batch_of, distance):
    case.fill()
    reference, model, t = case.reference, case.model, case.m["train"]
    passes, schedule = t["steps_per_epoch"], LinspaceCosine(t["warmup_epochs"], t["min_lr"])
    assert set(map(our_name, t["tokens_decayed"])) <= {
        n for n, p in model.named_parameters() if p.ndim > 1
    }
    assert not model.no_weight_decay()
    groups = [
        {
            "params": [p for p in model.parameters() if p.requires_grad and (p.ndim > 1) == matrix],
            "weight_decay": decay,
        }
        for matrix, decay in ((True, t["weight_decay"]), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=t["betas"], eps=t["adam_eps"])
    codes = case.loss.term["codes"].target
    for step in range(t["steps"]):
        progress = Progress(step, t["epochs"] * passes, passes)
        lr = t["lr"] * schedule(progress, t["lr"])
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = lr
        case.masker.mask, codes.known = (
            reference["train.mask"][step],
            reference["train.codes"][step].long(),
        )
        case.teacher.begin_step(progress)
        terms, _ = case.loss.of_step(
            model, batch_of(reference["train.images"][step % passes]), case.teacher
        )
        weighted = {"_main": terms["codes"], "_align": case.loss.weight["align"] * terms["align"]}
        for name, value in (weighted | {"": case.loss.weigh(terms)}).items():
            assert value.item() == pytest.approx(
                reference[f"train.loss{name}"][step].item(), rel=1e-5
            ), (step, name)
        optimizer.zero_grad()
        case.loss.weigh(terms).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), t["clip_grad"])
        assert norm.item() == pytest.approx(reference["train.grad_norm"][step].item(), rel=1e-4)
        case.teacher.before_step(model)
        optimizer.step()
        case.teacher.after_step(model, progress)
    state = model.state_dict() | {
        f"teacher.{name}": value for name, value in case.teacher.state_dict().items()
    }
    expected = ours(reference.under("train.final."))
    assert len(expected) > 5
    for name, value in expected.items():
        assert distance(state[name], value) < 1e-4, name
    zero = set(map(our_name, case.m["gradients_zero_in_theory"]))
    norms = zip(
        map(our_name, reference.names("train.final_norm_names")),
        reference["train.final_norm"],
        strict=True,
    )
    for name, norm in norms:
        if name not in zero:
            assert state[name].norm().item() == pytest.approx(norm.item(), rel=1e-4), name


def test_initial_weights_have_the_official_distribution(case):
    """Those of the model as it is built; without the division by depth that the release undoes."""
    reference, found = case.reference, case.model.state_dict(keep_vars=True)
    names = list(map(our_name, reference.names("init.names")))
    assert found.keys() == set(names)
    for name, numel, trained, (mean, std, low, high) in zip(
        names,
        reference["init.numel"].tolist(),
        reference["init.requires_grad"].tolist(),
        reference["init.stats"].tolist(),
        strict=True,
    ):
        value = found[name].detach().double()
        assert (value.numel(), found[name].requires_grad) == (numel, trained), name
        assert abs(value.mean().item() - mean) <= 6 * std / numel**0.5 + 1e-6, name
        assert abs(value.std().item() - std) <= max(0.05, 4 / numel**0.5) * std + 1e-6, name
        reach, share = max(-low, high), max(0.05, 2 / numel**0.5)
        assert abs(value.abs().max().item() - reach) <= share * reach + 1e-6, name
