"""BEiT v2 against microsoft/unilm @ 768a3c8, beit2: on max |a - b| / max |b|."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.model.beit_v2 import BeitV2
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from tests.parity.test_official_beit import Known, optimizer_of
from tests.parity.test_official_data2vec import Given
from tests.parity.test_official_data2vec import ours as of_simmim

RENAMED = {
    "cls_pt_layers.": "aggregator.",
    "cls_pt_norm.": "own.0.",
    "cls_pt_lm_head.": "own.1.",
}


def ours(tensors):
    """Their names -> those of our BeitV2."""
    found = {}
    for name, value in tensors.items():
        for theirs, new in RENAMED.items():
            if name.startswith(theirs):
                found[new + name.removeprefix(theirs)] = value
                break
        else:
            found |= of_simmim({name: value})
    return found


@pytest.fixture
def case(golden):
    reference = golden("beit_v2")

    def build(shared_head=True):
        m, masker = reference.meta, Given()
        sizes = (m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"])
        encoder = Beit(*sizes, mlp_ratio=m["mlp_ratio"], layer_scale=m["init_values"])
        known = Known(m["vocab_size"])
        loss = WeightedSum(
            {
                "codes": Term(known, "cross_entropy"),
                "aggregated": Term("codes", "cross_entropy"),
            },
            {"codes": 1.0, "aggregated": 1.0},
        )
        model = BeitV2(
            encoder, masker, loss.fit, m["early_layers"], m["head_layers"], shared_head=shared_head
        )
        weights = reference.under("sd.") | ({} if shared_head else reference.under("own.sd."))
        model.load_state_dict(ours(weights))
        masker.mask, known.known = reference["mask"], reference["codes"]
        return SimpleNamespace(
            reference=reference, m=m, model=model, masker=masker, loss=loss, known=known
        )

    return build


def judged(case, batch):
    """Predictions, and the terms of the loss."""
    made = case.model(batch)
    return made, case.loss.terms(made.predictions, batch.image, made.split)


@pytest.mark.parametrize("prefix", ["", "own."])
def test_both_scores_losses_and_gradients_are_official(case, batch_of, distance, prefix):
    built = case(shared_head=not prefix)
    reference = built.reference
    made, terms = judged(built, batch_of(reference["images"]))
    there = made.split.masked_valid
    assert distance(made.predictions["codes"][there], reference[f"{prefix}logits"]) < 2e-5
    scores = made.predictions["aggregated"][there]
    assert distance(scores, reference[f"{prefix}logits_aggregated"]) < 2e-5
    losses = [terms["codes"].item(), terms["aggregated"].item()]
    assert losses == pytest.approx(reference[f"{prefix}loss"].tolist(), rel=1e-5)
    assert losses == pytest.approx(reference[f"{prefix}loss_f64"].tolist(), rel=1e-5)
    built.loss.weigh(terms).backward()
    gradient = {name: p.grad for name, p in built.model.named_parameters()}
    expected = ours(reference.under(f"{prefix}grad."))
    assert expected
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name
    names = reference.names(f"{prefix}gradnorm_names")
    norms = ours(dict(zip(names, reference[f"{prefix}gradnorm"], strict=True)))
    assert norms.keys() == gradient.keys()
    for name, norm in norms.items():
        assert gradient[name].norm().item() == pytest.approx(norm.item(), rel=1e-4), name


def test_several_steps_end_with_the_official_weights(case, batch_of, distance):
    built = case()
    reference, model, t = built.reference, built.model, built.m["train"]
    passes, schedule = t["steps_per_epoch"], LinspaceCosine(t["warmup_epochs"], t["min_lr"])
    bare = model.no_weight_decay()
    free = {name for name, p in model.named_parameters() if name in bare or p.ndim < 2}
    assert free == set(ours(dict.fromkeys(t["no_decay"], torch.zeros(1))))
    optimizer = optimizer_of(model, free, t)
    for step in range(t["steps"]):
        lr = t["lr"] * schedule(Progress(step, t["epochs"] * passes, passes), t["lr"])
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = lr
        built.masker.mask = reference["train.mask"][step]
        built.known.known = reference["train.codes"][step % passes]
        _, terms = judged(built, batch_of(reference["train.images"][step % passes]))
        for name, key in (("codes", "loss_1"), ("aggregated", "loss_2")):
            assert terms[name].item() == pytest.approx(
                reference[f"train.{key}"][step].item(), rel=1e-5
            )
        optimizer.zero_grad()
        built.loss.weigh(terms).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), t["clip_grad"])
        assert norm.item() == pytest.approx(reference["train.grad_norm"][step].item(), rel=1e-4)
        optimizer.step()
    for name, value in ours(reference.under("train.final.")).items():
        assert distance(model.state_dict()[name], value) < 1e-4, name


def test_rates_of_stochastic_depth_and_starts_are_official(golden):
    meta = golden("beit_v2").meta

    def rate(block):
        return getattr(block.drop_path1, "drop_prob", 0.0)

    for sizes, (own, decoder) in meta["rates"].items():
        depth, early, layers, last = (float(number) for number in sizes.split())
        encoder = Beit(8, 4, 4, int(depth), 1, drop_path=last)
        model = BeitV2(
            encoder, Given(), {"codes": 4, "aggregated": 4}, int(early), int(layers), last
        )
        assert [rate(block) for block in encoder.blocks] == own
        assert [rate(block) for block in model.aggregator] == decoder
    encoder = Beit(8, 4, 256, meta["depth"], 8)
    model = BeitV2(encoder, Given(), {"codes": 4, "aggregated": 4}, meta["early_layers"], 2)
    starts = ours({name: torch.tensor(value) for name, value in meta["starts"].items()})
    found = dict(model.named_parameters())
    assert any(name.startswith("aggregator.1.mlp") for name in starts)
    for name, (_, deviation, largest) in starts.items():
        assert found[name].std().item() == pytest.approx(deviation.item(), rel=0.15), name
        assert found[name].abs().max().item() == pytest.approx(largest.item(), rel=0.05), name
