import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.draw import MASK, uniform
from mim.masker.score.salience import Salience, salience, similarity


def exact(tokens):
    """The formula, in float64."""
    column = (tokens.double() @ tokens.double().mT).softmax(-1).sum(1)
    low, high = column.amin(1, keepdim=True), column.amax(1, keepdim=True)
    return (column - low) / (high - low)


def test_a_patch_that_others_resemble_is_salient():
    """Patch 0 looks at 0 and 1 alike, patch 1 mostly at itself: column sums 1/2 and 1/2 + more."""
    tokens = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    e = math.e
    columns = [e / (2 * e + 1) + e / (2 * e + e**2), 2 * e / (2 * e + 1) + e**2 / (2 * e + e**2)]
    assert columns[1] > columns[0]
    assert salience(tokens)[0].tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)


@given(st.integers(3, 40), st.floats(0.05, 0.5), st.integers(0, 999))
@settings(max_examples=30)
def test_it_is_the_formula_between_0_and_1(patches, scale, seed):
    tokens = scale * torch.randn(2, patches, 24, generator=torch.Generator().manual_seed(seed))
    found = salience(tokens)
    assert found.amin() == 0
    assert found.amax() == 1
    assert torch.allclose(found.double(), exact(tokens), atol=2e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, 30.0])
def test_patches_that_do_not_differ_have_no_salience_and_rank_at_random(batch_of, value):
    tokens = torch.full((500, 16, 8), value)
    ranking = Salience()(batch_of(torch.zeros(500, 3, 1, 1)), (4, 4), tokens)
    assert ranking.salience.eq(0).all()
    first = ranking.rank.argmax(1).bincount(minlength=16)
    assert first.min() > 10  # 31 expected of each


def test_noise_is_added_to_the_rank_and_not_to_salience(batch_of):
    batch, tokens = batch_of(torch.zeros(3, 3, 1, 1)), torch.randn(3, 16, 8)
    ranking = Salience(noise=0.5)(batch, (4, 4), tokens)
    assert torch.equal(ranking.salience, salience(tokens))
    assert torch.equal(ranking.rank, ranking.salience + 0.5 * uniform(batch.key, 16, MASK))
    assert torch.equal(Salience(noise=0)(batch, (4, 4), tokens).rank, ranking.salience)


def test_half_precision_around_it_changes_nothing():
    tokens = 20 * torch.nn.functional.normalize(torch.randn(2, 64, 96), dim=-1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(salience(tokens), salience(tokens.clone()))
        inside = salience(tokens)
    assert torch.equal(inside, salience(tokens))


def test_products_survive_factors_rounded_to_ten_bits(monkeypatch):
    """What a GPU does with float32 factors when it uses TF32, emulated."""

    def tf32(x):
        return (x.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)

    torch.manual_seed(0)
    tokens = 20 * torch.nn.functional.normalize(torch.randn(1, 32, 256), dim=-1)
    product = torch.Tensor.__matmul__
    plain = product(tf32(tokens), tf32(tokens.mT.contiguous()))
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: product(tf32(a), tf32(b.contiguous()))
    )
    careful = similarity(tokens)
    monkeypatch.undo()
    truth = tokens.double() @ tokens.double().mT
    assert (plain - truth).abs().max() > 1e-2
    assert (careful - truth).abs().max() < 5e-4


def test_negative_noise_is_refused():
    with pytest.raises(ValueError, match=r"noise=-0\.5 does not fit; it should be at least 0"):
        Salience(noise=-0.5)
