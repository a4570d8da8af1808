"""Beyond [cls] (gmum/beyond_cls): its pools, AbMILP and AbMILP's probe, by its own numbers."""

from functools import partial
from math import isqrt

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mim.encoder.vit import ViT
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.pool.abmilp import AbMILP
from mim.pool.by_attention import CentreAttention, LowestEntropy, MeanAttention
from mim.pool.centre_patches import CentrePatches
from mim.pool.pool import Shape, fitted, pool_tokens
from mim.pool.simple import Cls, Mean
from tests.stored import numbered

POOLS = {
    "cls": Cls(),
    "pos": Mean(),
    "attn-mn": MeanAttention(),
    "attn-lcte": LowestEntropy(),
    **{f"cp{side}": partial(CentrePatches, side=side) for side in (1, 2, 3, 4)},
    **{f"ca{side}": partial(CentreAttention, side=side, as_released=True) for side in (1, 2, 3, 4)},
}


@pytest.fixture
def vit(golden):
    stored = golden("beyond_vit")
    m = stored.meta
    encoder = ViT(
        m["img_size"], m["patch_size"], m["embed_dim"], m["depth"], m["num_heads"], m["mlp_ratio"]
    )
    encoder.load_state_dict(
        {k: v for k, v in stored.under("sd.").items() if not k.startswith("head.")}
    )
    return encoder.eval(), stored


def test_every_pool_gives_the_release_s_features_of_the_residual_stream(vit, distance):
    encoder, stored = vit
    look = FeatureExtractor(
        encoder, {name: fitted(pool, encoder) for name, pool in POOLS.items()}, norm=False
    )
    with torch.no_grad():
        tokens, pooled = look(stored["images"])
    assert distance(tokens, stored["feat.raw"]) < 2e-5
    assert {
        name for name in pooled if distance(pooled[name], stored[f"feat.{name}"]) > 2e-5
    } == set()


def test_the_paper_s_centre_attention_sums_where_the_release_averages(vit, distance):
    encoder, stored = vit
    look = FeatureExtractor(
        encoder, {"ca2": fitted(partial(CentreAttention, side=2), encoder)}, norm=False
    )
    with torch.no_grad():
        assert (
            distance(
                look(stored["images"])[1]["ca2"], encoder.geometry.patches * stored["feat.ca2"]
            )
            < 2e-5
        )


def test_any_block_can_be_looked_at_with_or_without_the_final_norm(vit, distance):
    encoder, stored = vit
    with torch.no_grad():
        raw, _ = FeatureExtractor(encoder, {}, block=2, norm=False)(stored["images"])
        normed, _ = FeatureExtractor(encoder, {}, block=2)(stored["images"])
        last, _ = FeatureExtractor(encoder, {}, block=encoder.depth)(stored["images"])
    assert distance(raw, stored["raw_return_block1"]) < 2e-5
    assert distance(normed, encoder.norm(stored["raw_return_block1"])) < 2e-5
    assert last.equal(encoder(stored["images"]))


@pytest.mark.parametrize("beyond", [False, True])
def test_a_block_that_is_not_there_is_refused_and_zero_is_not_the_last(vit, beyond):
    depth = vit[0].depth
    block = depth + 1 if beyond else 0
    with pytest.raises(
        ValueError, match=f"block={block} of ViT cannot be looked at: it has blocks 1 to {depth}"
    ):
        FeatureExtractor(vit[0], {}, block=block)


def abmilp(m, number):
    config, side = m["configs"][number], isqrt(m["num_patches"])
    return AbMILP(
        Shape(m["dim"], (side, side)),
        depth=config["depth"],
        activation=config["activation"],
        self_attention=config["self_attention_apply_to"],
        positions=config["cond"] == "pe",
        tokens="patches" if config["content"] == "patch" else "all",
    )


def renamed(weights):
    """Their names -> ours; positions are no weights here."""
    own = {"attention_predictor": "score", "self_attn": "attention"}
    return {
        ".".join([own[name.partition(".")[0]], name.partition(".")[2]]): value
        for name, value in weights.items()
        if name != "pos_embed"
    }


@pytest.mark.parametrize("number", numbered("beyond_abmilp"))
def test_abmilp_gives_the_release_s_vectors_weights_and_gradients(golden, distance, number):
    stored = golden("beyond_abmilp")
    pool = abmilp(stored.meta, number)
    pool.load_state_dict(renamed(stored.under(f"c{number}.sd.")))
    x = stored["x"].clone().requires_grad_()
    out = pool(pool_tokens(x, 1, pool.needs))
    (out * stored["w_out"]).sum().backward()
    assert distance(out, stored[f"c{number}.out"]) < 2e-5
    inside = pool_tokens(x.detach(), 1, pool.needs)
    weight = pool.weight(inside if pool.attention is None else pool.attention(inside))
    assert distance(weight, stored[f"c{number}.attn_map"]) < 2e-5
    assert distance(x.grad, stored[f"c{number}.grad.x"]) < 1e-4
    last_bias = f"score.{2 * stored.meta['configs'][number]['depth'] - 2}.bias"
    gradients = dict(pool.named_parameters())
    for name, value in renamed(
        {k.removeprefix("x"): v for k, v in stored.under(f"c{number}.grad.").items() if k != "x"}
    ).items():
        if name != last_bias:  # zero but for rounding: the softmax does not notice it
            assert distance(gradients[name].grad, value) < 1e-4


def test_the_probe_on_abmilp_learns_as_the_release_s(golden, distance):
    stored = golden("beyond_abmilp")
    m = stored.meta
    norm = nn.BatchNorm1d(m["dim"], affine=False, eps=1e-6)
    head = nn.Sequential(abmilp(m, 0), norm, nn.Linear(m["dim"], m["num_classes"]))
    weights = stored.under("probe.sd.")
    ours = {
        f"0.{k}": v
        for k, v in renamed({k[2:]: v for k, v in weights.items() if k.startswith("0.")}).items()
    }
    head.load_state_dict(ours | {k: v for k, v in weights.items() if not k.startswith("0.")})
    patches = stored["x"][:, 1:]
    logits = head(patches)
    loss = cross_entropy(logits, stored["probe.labels"])
    loss.backward()
    assert distance(logits, stored["probe.logits_train"]) < 1e-4
    assert distance(loss, stored["probe.loss"]) < 1e-5
    assert distance(head[2].weight.grad, stored["probe.grad.2.weight"]) < 1e-4
    assert (
        distance(head[0].score[0].weight.grad, stored["probe.grad.0.attention_predictor.0.weight"])
        < 1e-4
    )
    assert distance(head.eval()(patches), stored["probe.logits_eval_after_one_step"]) < 1e-4
