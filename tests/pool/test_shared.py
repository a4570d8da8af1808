"""Products with tokens that heads share: values and gradients, of one head and of many."""

import pytest
import torch
from torch.func import vmap

from mim.pool.shared import Scored, Summed

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(shape, generator=GENERATOR, dtype=torch.float64, requires_grad=True)


PRODUCTS = {
    "scored": (
        Scored.apply,
        lambda tokens, asked: tokens @ asked.mT,
        random(2, 4, 6),
        random(3, 6),
    ),
    "summed": (
        Summed.apply,
        lambda weight, tokens: weight @ tokens,
        random(2, 3, 4),
        random(2, 4, 6),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_one_head_is_a_product_with_its_gradients(name):
    ours, plain, a, b = PRODUCTS[name]
    assert ours(a, b).allclose(plain(a, b))
    assert torch.autograd.gradcheck(ours, (a, b))


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("many", [(True, True), (True, False), (False, True)])
def test_many_heads_are_one_after_the_other(name, many):
    ours, plain, *one = PRODUCTS[name]
    given = [random(5, *x.shape) if of_heads else x for x, of_heads in zip(one, many, strict=True)]
    together = vmap(ours, in_dims=tuple(0 if of_heads else None for of_heads in many))(*given)
    each = [
        [x[head] if of_heads else x for x, of_heads in zip(given, many, strict=True)]
        for head in range(5)
    ]
    expected = torch.stack([plain(*arguments) for arguments in each])
    assert together.allclose(expected)
    gradients = torch.autograd.grad(together.square().sum(), given)
    wanted = torch.autograd.grad(expected.square().sum(), given)
    assert all(found.allclose(right) for found, right in zip(gradients, wanted, strict=True))


@pytest.mark.parametrize("name", PRODUCTS)
def test_under_autocast_gradients_come_back_in_the_precision_of_what_was_given(name):
    ours, plain, *one = PRODUCTS[name]
    given = [x.detach().float().requires_grad_() for x in one]
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = ours(*given), plain(*given)
    assert found.dtype == torch.bfloat16
    for mine, theirs in zip(
        torch.autograd.grad(found.float().square().sum(), given),
        torch.autograd.grad(wanted.float().square().sum(), given),
        strict=True,
    ):
        assert mine.dtype == torch.float32
        assert mine.allclose(theirs, rtol=2e-2, atol=2e-2)
