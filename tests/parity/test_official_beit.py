"""BEiT against microsoft/unilm @ 768a3c8, its tokenizer against openai/DALL-E @ 5be4b23: on max |a
- b| / max |b|.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.loss.term import Term
from mim.model.simmim import SimMIM
from mim.optim.table import LinspaceCosine
from mim.part import Progress
from mim.target.dalle import DalleEncoder
from mim.tokens import take
from tests.parity.test_official_data2vec import Given, ours


class Known(nn.Module):
    """Codes that are known (B, rows, columns), in place of a tokenizer's."""

    def __init__(self, codes):
        super().__init__()
        self.dim = self.codes = codes

    def forward(self, image, split):
        return take(self.known.flatten(1)[..., None], split.masked)


@pytest.fixture
def case(golden):
    reference = golden("beit")

    def build(positions="shared_bias", **tensors):
        m, masker = reference.meta, Given()
        sizes = (m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"])
        encoder = Beit(
            *sizes, positions=positions, mlp_ratio=m["mlp_ratio"], layer_scale=m["init_values"]
        )
        model, loss = (
            SimMIM(encoder, masker, {"codes": m["vocab_size"]}),
            Term(Known(m["vocab_size"]), "cross_entropy"),
        )
        loss.fit(encoder.geometry)
        weights = {
            name: value
            for name, value in reference.under("sd.").items()
            if "relative_position_index" not in name
        }
        weights = ours(weights | tensors)
        model.load_state_dict(
            {name: value for name, value in weights.items() if name in model.state_dict()}
        )
        masker.mask, loss.target.known = reference["mask"], reference["codes"]
        return SimpleNamespace(reference=reference, m=m, model=model, masker=masker, loss=loss)

    return build


def judged(case, batch):
    """Predictions and loss of a batch."""
    made = case.model(batch)
    return made, case.loss(made.prediction, batch.image, made.split)


VARIANTS = {"": "shared_bias", "abs.": "absolute", "block.": "block_bias"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_scores_loss_and_gradients_are_official(case, batch_of, distance, variant):
    reference = case().reference
    tensors = reference.under(f"{variant}sd.") if variant else {}
    if variant == "abs.":  # has no layer scale
        tensors |= {
            name: torch.ones_like(value)
            for name, value in reference.under("sd.").items()
            if "gamma" in name
        }
    built = case(VARIANTS[variant], **tensors)
    made, loss = judged(built, batch_of(reference["images"]))
    scores = made.prediction[made.split.masked_valid]
    assert distance(scores, reference[f"{variant}logits"]) < 2e-5
    codes = built.loss.target(None, made.split)[made.split.masked_valid][:, 0]
    assert torch.equal(codes, reference["labels"])
    assert loss.item() == pytest.approx(reference[f"{variant}loss"].item(), rel=1e-5)
    assert loss.item() == pytest.approx(reference[f"{variant}loss_f64"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in built.model.named_parameters()}
    expected = ours(reference.under("grad.") if not variant else reference.under(f"{variant}grad_"))
    assert expected
    for name, value in expected.items():
        assert distance(gradient[name], value) < 1e-4, name


def optimizer_of(model, free, settings):
    """AdamW of the release: parameters in `free` are not decayed."""
    groups = [
        {
            "params": [p for name, p in model.named_parameters() if (name in free) == bare],
            "weight_decay": decay,
        }
        for bare, decay in ((False, settings["weight_decay"]), (True, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=settings["betas"], eps=settings["adam_eps"])


def test_several_steps_end_with_the_official_weights(case, batch_of, distance):
    built = case()
    reference, model, t = built.reference, built.model, built.m["train"]
    passes, schedule = t["steps_per_epoch"], LinspaceCosine(t["warmup_epochs"], t["min_lr"])
    free = set(ours(dict.fromkeys(t["no_decay"], torch.zeros(1))))
    assert {
        name for name, p in model.named_parameters() if name == "encoder.cls_token" or p.ndim < 2
    } == free
    optimizer = optimizer_of(model, free, t)
    for step in range(t["steps"]):
        lr = t["lr"] * schedule(Progress(step, t["epochs"] * passes, passes), t["lr"])
        assert lr == pytest.approx(reference["train.lr"][step].item(), rel=1e-9)
        for group in optimizer.param_groups:
            group["lr"] = lr
        built.masker.mask, built.loss.target.known = (
            reference["train.mask"][step],
            reference["train.codes"][step % passes],
        )
        _, loss = judged(built, batch_of(reference["train.images"][step % passes]))
        assert loss.item() == pytest.approx(reference["train.loss"][step].item(), rel=1e-5)
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), t["clip_grad"])
        assert norm.item() == pytest.approx(reference["train.grad_norm"][step].item(), rel=1e-4)
        optimizer.step()
    for name, value in ours(reference.under("train.final.")).items():
        assert distance(model.state_dict()[name], value) < 1e-4, name


def test_the_tokenizer_is_official(golden, distance):
    reference = golden("dalle_encoder")
    encoder = DalleEncoder(reference.under("sd."))
    assert encoder.codes == reference.meta["vocab_size"]
    assert distance(encoder.scores(reference["pixels"]), reference["logits"]) < 2e-5
    assert torch.equal(encoder(reference["pixels"]), reference["codes"].flatten(1))
