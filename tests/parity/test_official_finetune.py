"""Fine-tuning against facebookresearch/mae @ efb2a80 and microsoft/SimMIM @ d3e29bc: features,
losses, gradients, layer decay.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.model.classifier import Classifier
from mim.optim.follow import Follow
from mim.optim.layer_decay import layer_decay_groups
from mim.optim.simmim import RunningCosine, WarmupLine, WarmupSteps
from mim.pool.simple import Cls, Mean
from mim.weights.classifier import open_classifier
from mim.weights.load import load_checkpoint_into
from mim.weights.official_simmim import from_bare, from_official_simmim
from mim.weights.read import read_weights

POOLS = {"cls": Cls, "mean": Mean}


def classifier(m, pool="mean"):
    """What the settings of a golden file describe."""
    sizes = m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"]
    beit = m.get("use_rel_pos_bias", False)
    encoder = (
        Beit(*sizes, positions="block_bias", layer_scale=m["init_values"]) if beit else ViT(*sizes)
    )
    return Classifier(encoder, {pool: POOLS[pool]()}, m["num_classes"])


@pytest.mark.parametrize(
    ("name", "pool"), [("vit_cls", "cls"), ("vit_gap", "mean"), ("simmim_vit_finetune", "mean")]
)
def test_an_official_classifier_is_loaded_and_gives_the_official_logits_loss_and_gradients(
    golden, distance, batch_of, tmp_path, name, pool
):
    reference = golden(name)
    torch.save({"model": reference.under("sd.")}, tmp_path / "official.pth")
    model = classifier(reference.meta, pool)
    said = load_checkpoint_into(tmp_path / "official.pth", model)
    assert "head 2 of 2" in said
    assert "left" not in said
    assert ("fc_norm 2 of 2" in said) == (pool == "mean")

    logits = model(batch_of(reference["images"]))
    assert distance(logits, reference["logits"]) < 2e-5
    weights = read_weights(tmp_path / "official.pth")._replace(heads=reference.meta["num_heads"])
    assert open_classifier(weights)(batch_of(reference["images"])).equal(
        logits
    )  # nobody says what it is: its tensors do
    loss = cross_entropy(logits, reference["labels"])
    assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    loss.backward()
    gradient = {key: p.grad for key, p in model.named_parameters()}
    for key, value in from_bare(reference.under("grad.")).items():
        assert distance(gradient[key], value) < 1e-4, key
    norms = dict(zip(reference.names("gradnorm_names"), reference["gradnorm"], strict=True))
    for key, norm in from_bare(norms).items():
        if norm > 1e-7:
            assert gradient[key].norm().item() == pytest.approx(norm.item(), rel=2e-3), key
    assert len(norms) > 10 * reference.meta["depth"]


def scales_and_decays(model, lr, weight_decay, layer_decay):
    """Parameter name -> its share of the rate, its weight decay."""
    groups = layer_decay_groups(model, lr, weight_decay, layer_decay)
    found = {
        id(p): (group["lr"] / lr, group["weight_decay"])
        for group in groups
        for p in group["params"]
    }
    return {name: found[id(p)] for name, p in model.named_parameters()}


def official(reference, kind):
    columns = (reference[f"{kind}.{what}"].tolist() for what in ("lr_scale", "weight_decay"))
    return dict(zip(reference.names(f"{kind}.names"), zip(*columns, strict=True), strict=True))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_layers_of_mae_learn_and_decay_as_officially(golden, pool):
    reference = golden("param_groups")
    m = reference.meta
    model = Classifier(ViT(32, 16, 16, m["depth"], 2), {pool: POOLS[pool]()}, 5)
    expected = official(reference, {"cls": "finetune_cls", "mean": "finetune_gap"}[pool])
    ours = scales_and_decays(model, 1e-3, m["weight_decay"], m["layer_decay"])
    renamed = from_bare({name: torch.tensor(pair) for name, pair in expected.items()})
    assert ours == {
        name: pytest.approx(tuple(pair.tolist()), rel=1e-6) for name, pair in renamed.items()
    }


@pytest.mark.parametrize("kind", ["vit", "swin"])
def test_layers_of_simmim_learn_and_decay_as_officially(golden, kind):
    reference = golden("simmim_optim")
    m = reference.meta
    encoder = {
        "vit": lambda: Beit(32, 16, m["embed_dim"], m["depth"], 4, positions="block_bias"),
        "swin": lambda: Swin(32, 8, m["embed_dim"], m["swin_depths"], [2, 4], 2),
    }[kind]()
    model = Classifier(encoder, {"mean": Mean()}, 5)
    expected = official(reference, f"{kind}_finetune")
    expected.pop("pos_embed", None)  # neither has it
    renamed = from_official_simmim({name: torch.tensor(pair) for name, pair in expected.items()})
    ours = scales_and_decays(model, m["base_lr"], m["weight_decay"], m["layer_decay"])
    assert ours == {
        name: pytest.approx(tuple(pair.tolist()), rel=1e-6) for name, pair in renamed.items()
    }
    assert len(ours) == len(renamed) > 0


SCHEDULES = {
    "multistep": lambda m: WarmupSteps(
        m["warmup_epochs"], m["multisteps"], m["gamma"], m["warmup_lr"]
    ),
    "cosine": lambda m: RunningCosine(m["warmup_epochs"], m["min_lr"], m["warmup_lr"]),
    "linear": lambda m: WarmupLine(m["warmup_epochs"], warmup_lr=m["warmup_lr"]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_update_of_simmim_has_the_official_rate(golden, name):
    reference = golden("simmim_optim")
    m = next(scheduler for scheduler in reference.meta["schedulers"] if scheduler["name"] == name)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=m["base_lr"])
    passes = m["steps_per_epoch"]
    scheduler = Follow(optimizer, SCHEDULES[name](m), m["base_lr"], m["epochs"] * passes, passes)
    updates = reference[f"sched_{name}"].tolist()
    # each is set after the step of its number
    for step, rate in enumerate([m["warmup_lr"], *updates[:-1]]):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9), step
        optimizer.step()
        scheduler.step()
