import pytest
import torch
from timm.layers import Attention as TimmAttention
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from mim.encoder import attention
from mim.encoder.attention import Attention, attend, attention_rows
from mim.encoder.padding import Lengths, padding_bias


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_equal_keys_give_the_mean_of_the_values():
    value = torch.tensor([[1.0, 5.0], [3.0, 7.0]]).view(1, 1, 2, 2)
    for dtype in (torch.float32, torch.bfloat16):
        seen = attend(
            draw(1, 1, 3, 2, dtype=dtype), torch.ones(1, 1, 2, 2, dtype=dtype), value.to(dtype)
        )
        assert torch.equal(seen, torch.tensor([2.0, 6.0], dtype=dtype).expand(1, 1, 3, 2))


def test_single_precision_takes_the_fused_kernel(monkeypatch):
    calls = []

    def kernel(*tensors):
        calls.append(tensors)
        return scaled_dot_product_attention(*tensors)

    monkeypatch.setattr(attention, "scaled_dot_product_attention", kernel)
    query, key, value = draw(3, 2, 2, 5, 4)
    attend(query, key, value)
    assert len(calls) == 1
    attend(query.bfloat16(), key.bfloat16(), value.bfloat16())
    assert len(calls) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_within_its_rounding_of_the_fused_kernel(dtype):
    query, key, value = draw(3, 2, 3, 17, 8)
    exact = scaled_dot_product_attention(query, key, value)
    error = attend(query.to(dtype), key.to(dtype), value.to(dtype)).float() - exact
    assert error.abs().max() < 6 * torch.finfo(dtype).eps


def test_output_and_gradients_are_timms():
    torch.manual_seed(0)
    ours, timms = (
        Attention(12, num_heads=3, qkv_bias=True).double(),
        TimmAttention(12, num_heads=3, qkv_bias=True).double(),
    )
    ours.load_state_dict(timms.state_dict())
    x = draw(2, 7, 12).double()
    torch.testing.assert_close(ours(x), timms(x))
    ours(x).square().sum().backward()
    timms(x).square().sum().backward()
    for mine, theirs in zip(ours.parameters(), timms.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("hidden", [None, "bias", "lengths"])
def test_one_query_sees_what_it_sees_among_all_and_makes_no_keys(biased, hidden):
    """Gradients too; that of a bias of keys is 0."""
    layer = Attention(12, num_heads=3, qkv_bias=biased).double()
    valid = torch.arange(7) < torch.tensor([[7], [4]])
    bias = None if hidden is None else padding_bias(valid).double()
    given = Lengths(valid.sum(1)) if hidden == "lengths" else bias
    found, products = [], []
    for alone in (True, False):
        x = draw(2, 7, 12).double().requires_grad_()
        with FlopCounterMode(display=False) as count:
            seen = layer(x, given if alone else bias, wanted=1 if alone else None)[:, :1]
        layer.zero_grad()
        seen.square().sum().backward()
        found.append([seen, x.grad, *(p.grad for p in layer.parameters())])
        products.append(count.get_total_flops())
    assert 4 * products[0] < products[1]
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("queries", [1, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_first_queries_see_all_tokens(queries, dtype):
    layer, x = Attention(12, num_heads=3).to(dtype), draw(2, 7, 12, dtype=dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(
        layer(x, wanted=queries), layer(x)[:, :queries], rtol=tolerance, atol=tolerance
    )


def first_row(x, weight, in_bias, heads, bias):
    """The row of cls as maps have always been made of it: a slice, the biases of queries and keys,
    float32 from there.
    """
    B, M, D = x.shape
    query = linear(x[:, :1], weight[:D], in_bias[:D]).view(B, 1, heads, -1).transpose(1, 2)
    key = linear(x, weight[D : 2 * D], in_bias[D : 2 * D]).view(B, M, heads, -1).transpose(1, 2)
    score = (query * query.shape[-1] ** -0.5 @ key.transpose(-2, -1)).float()
    return (score + bias[:, :, :1]).softmax(dim=-1)


@pytest.mark.parametrize("precision", ["float32", "autocast", "bfloat16"])
def test_maps_that_are_kept_do_not_change_by_a_bit(precision):
    draws = torch.Generator().manual_seed(0)
    x, weight, in_bias, bias = (
        torch.randn(*s, generator=draws) for s in ((3, 65, 48), (144, 48), (144,), (1, 4, 65, 65))
    )
    if precision == "bfloat16":
        x, weight, in_bias = (t.bfloat16() for t in (x, weight, in_bias))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
        row = attention_rows(x, weight, in_bias, 4, [0], bias)
        assert torch.equal(row, first_row(x, weight, in_bias, 4, bias))
    if precision != "float32":  # where rounding shows what is there
        without = torch.cat([in_bias[:48], torch.zeros_like(in_bias[:48]), in_bias[96:]])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
            assert not torch.equal(row, attention_rows(x, weight, without, 4, [0], bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_leaves_weights_out_and_scales_the_others_up(dtype):
    """With all values 1 every result is a sum of weights: 1 on average, and 0 where all are left
    out.
    """
    torch.manual_seed(0)
    query, key = (torch.randn(4, 4, 64, 8).to(dtype) for _ in range(2))
    kept = attend(query, key, torch.ones(4, 4, 64, 8, dtype=dtype), drop=0.5).float()
    assert kept.mean().item() == pytest.approx(1, abs=0.05)
    assert kept.std() > 0.05
    assert torch.allclose(
        attend(query, key, torch.ones(4, 4, 64, 8, dtype=dtype)).float(), torch.ones(1), atol=0.02
    )
