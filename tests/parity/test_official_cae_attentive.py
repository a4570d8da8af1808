"""CAE's attentive probe against lxtGH/CAE @ d725971: on max |a - b| / max |b|."""

import pytest
import torch
from torch.nn.functional import batch_norm

from mim.pool.attentive import ReleasedAttentive
from mim.pool.pool import Shape

NAMES = {
    "query_token": "query",
    "norm1_q": "norm_query",
    "norm1_k": "norm_key",
    "norm1_v": "norm_value",
    "cross_attn.q_bias": "to_query.bias",
    "cross_attn.v_bias": "to_value.bias",
    "cross_attn.q.": "to_query.",
    "cross_attn.k.": "to_key.",
    "cross_attn.v.": "to_value.",
    "cross_attn.proj": "out",
}


def ours(tensors):
    """Their names -> those of the pool; the release never uses norm2_cross."""
    found = {}
    for name, value in tensors.items():
        for theirs, new in NAMES.items():
            name = name.removeprefix("attentive_blocks.0.").replace(theirs, new)
        if not name.startswith("norm2_cross"):
            found[name] = value.flatten() if name == "query" else value
    return found


def test_what_it_pools_and_gradients_through_a_batch_norm_are_official(golden, distance):
    reference = golden("cae_attentive")
    m = reference.meta
    pool = ReleasedAttentive(Shape(m["embed_dim"], (3, m["patches"] // 3)), m["num_heads"])
    pool.load_state_dict(ours(reference.under("sd.")))
    pooled = pool(reference["tokens"])
    assert distance(pooled, reference["pooled"]) < 2e-5
    normed = batch_norm(pooled, None, None, training=True, eps=m["norm_eps"])
    assert distance(normed, reference["normed"]) < 2e-5
    loss = (normed * reference["probe"]).sum()
    assert loss.item() == pytest.approx(reference["loss"].item(), rel=1e-5)
    loss.backward()
    gradient = {name: p.grad for name, p in pool.named_parameters()}
    expected = ours(reference.under("grad."))
    assert expected.keys() == gradient.keys()
    for name, value in expected.items():
        if value.abs().max() > 1e-4:
            assert distance(gradient[name], value) < 1e-4, name
        else:  # zero in theory: what shifts all scores, or all that a batch norm sees
            assert gradient[name].abs().max() < 1e-4, name


def test_at_first_all_tokens_weigh_alike():
    tokens, pool = torch.randn(2, 7, 8), ReleasedAttentive(Shape(8, (2, 3)), 2)
    expected = pool.out(pool.to_value(pool.norm_value(tokens).mean(dim=1)))
    assert torch.allclose(pool(tokens), expected, atol=1e-6)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(
        ValueError,
        match=r"width=8, heads=3; the heads must divide the width, e\.g\. pool\.attentive_cae",
    ):
        ReleasedAttentive(Shape(8, (2, 3)), 3)
