"""Pools with weights: what each makes of tokens, and what it refuses."""

import pytest
import torch

from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.pool.abmilp import AbMILP
from mim.pool.attentive import Attentive, ReleasedAttentive
from mim.pool.by_attention import MeanAttention
from mim.pool.ep import EP
from mim.pool.pool import Needs, Shape, fitted, pool_tokens, width_of
from mim.pool.simple import Cls, Mean
from mim.pool.simpool import SimPool

SHAPE = Shape(16, (3, 3))


def patches(seed=0):
    return torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "pool",
    [
        AbMILP,
        Attentive,
        lambda shape: ReleasedAttentive(shape, 4),
        SimPool,
        lambda shape: AbMILP(shape, 2, self_attention="both"),
        lambda shape: EP(shape, 4),
    ],
)
def test_patches_in_another_order_are_pooled_alike(pool):
    torch.manual_seed(0)
    pool, given = pool(SHAPE), patches()
    assert pool(given).shape == (2, 16)
    assert torch.allclose(pool(given), pool(given.flip(1)), atol=1e-6)


@pytest.mark.parametrize(
    ("prefix", "cls"), [(0, False), (1, False), (1, True), (3, False), (3, True)]
)
def test_a_pool_gets_patches_and_cls_where_it_needs_it_and_never_registers(prefix, cls):
    tokens = torch.arange(prefix + 4.0).view(1, -1, 1)
    given = pool_tokens(tokens, prefix, Needs(cls=cls))
    assert given.flatten().tolist() == [0.0] * cls + [prefix + i for i in range(4)]


def test_positions_tell_patches_apart():
    torch.manual_seed(0)
    pool, given = AbMILP(SHAPE, positions=True), patches()
    assert not torch.allclose(pool(given), pool(given.flip(1)), atol=1e-3)


def test_abmilp_that_scores_all_alike_is_the_mean():
    pool = AbMILP(SHAPE)
    torch.nn.init.zeros_(pool.score[-1].weight)
    assert torch.allclose(pool(patches()), Mean()(patches()), atol=1e-6)


def test_attentive_is_multi_head_attention_of_one_query():
    torch.manual_seed(0)
    pool, given = Attentive(SHAPE, heads=4), patches()
    plain = torch.nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    with torch.no_grad():
        plain.in_proj_weight.copy_(torch.cat([torch.eye(16), pool.key.weight, pool.value.weight]))
        plain.out_proj.weight.copy_(pool.out.weight)
        expected = plain(pool.query.expand(2, 1, -1), given, given)[0][:, 0]
    assert torch.allclose(pool(given), expected, atol=1e-6)


def test_ep_that_asks_nothing_is_the_mean_projected_and_a_query_has_channels_of_its_own():
    pool, given = EP(SHAPE, queries=4, shrink=2), patches()
    torch.nn.init.zeros_(pool.query)
    mean = given.mean(1) @ pool.value.weight.T
    assert pool(given).shape == (2, 8)
    assert torch.allclose(pool(given), mean, atol=1e-6)
    with torch.no_grad():
        pool.query[1] = 3.0
    assert (pool(given) - mean).abs().gt(1e-4).any(0).tolist() == [False, False, True, True] + [
        False
    ] * 4


def test_ep_begins_near_the_mean():
    """Its queries are small, so that all patches have a say at first."""
    assert EP(SHAPE._replace(width=320)).query.std().item() == pytest.approx(0.02, rel=0.1)


def test_simpool_that_asks_nothing_is_the_mean_of_normalised_patches():
    pool = SimPool(SHAPE, gamma=1.0)
    torch.nn.init.zeros_(pool.query.weight)
    value = pool.norm(patches())
    assert torch.allclose(pool(patches()), value.mean(1) - value.amin((1, 2))[:, None], atol=1e-5)


def test_simpool_judges_an_image_by_itself():
    torch.manual_seed(0)
    pool, given = SimPool(SHAPE), patches()
    assert torch.allclose(pool(given)[:1], pool(given[:1]), atol=1e-6)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: AbMILP(SHAPE, depth=0), "depth=0 does not fit; it should be at least 1"),
        (lambda: Attentive(SHAPE, heads=3), "width=16, heads=3; the heads must divide the width"),
        (
            lambda: EP(SHAPE, queries=4, shrink=3),
            "queries=4, shrink=3 for tokens 16 wide; their product has to divide",
        ),
        (lambda: SimPool(SHAPE, gamma=0), "gamma=0 does not fit; it should be more than 0"),
    ],
)
def test_what_cannot_be_is_refused(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_pools_are_fitted_to_the_encoder_and_know_their_width():
    vit = ViT(image_size=24, patch_size=8, width=16, depth=1, heads=2)
    assert width_of(fitted(AbMILP, vit), vit) == 16
    assert width_of(fitted(MeanAttention(), vit), vit) == 16


def test_a_pool_that_needs_cls_or_attention_is_refused_where_there_is_none():
    swin = Swin(image_size=32, patch_size=8, width=8, depths=[1, 1], heads=[2, 4], window=4)
    with pytest.raises(
        ValueError, match="Cls needs a cls token, which Swin has not; take pool=mean"
    ):
        fitted(Cls(), swin)
    with pytest.raises(
        ValueError, match="MeanAttention needs the attention of whole blocks, which Swin has not"
    ):
        fitted(MeanAttention(), swin)
    assert fitted(Attentive, swin)(swin(torch.zeros(1, 3, 32, 32))).shape == (1, 16)
