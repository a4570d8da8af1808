"""Variable-length attention, with a plain loop in place of the GPU's kernel: the same as hiding
padding with a bias.
"""

from functools import partial

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from mim.encoder import padding, vit
from mim.encoder.attention import Attention, attend
from mim.encoder.padding import Lengths, padding_bias
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.score.salience import Salience
from mim.model import decoder
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM


def varlen_attn(query, key, value, queries_end, keys_end, longest_query, longest_key, *, scale):
    """What torch.nn.attention.varlen promises: tokens (T, A, d), d in steps of 8, each sequence on
    its own.
    """
    assert query.shape[-1] % 8 == 0
    assert queries_end.dtype == keys_end.dtype == torch.int32
    seen = []
    for i in range(len(keys_end) - 1):
        q, (k, v) = (
            query[queries_end[i] : queries_end[i + 1]],
            (t[keys_end[i] : keys_end[i + 1]] for t in (key, value)),
        )
        assert len(q) <= longest_query
        assert len(k) <= longest_key
        assert len(k) or not len(q), "a query without keys is NaN"
        if len(q):
            seen.append(
                scaled_dot_product_attention(
                    *(t.transpose(0, 1) for t in (q, k, v)), scale=scale
                ).transpose(0, 1)
            )
    seen = torch.cat(seen)
    assert seen.shape == query.shape
    return seen


@pytest.fixture
def on_lengths(monkeypatch):
    monkeypatch.setattr(padding, "varlen_attn", varlen_attn)


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_row_and_its_padding_are_two_sequences():
    assert padding._ends(torch.tensor([2, 3]), 3).tolist() == [0, 2, 3, 6, 6]


@pytest.mark.parametrize(("queries", "width"), [(1, 8), (3, 8), (6, 8), (6, 5), (3, 12)])
def test_lengths_and_a_bias_hide_the_same_padding(on_lengths, queries, width):
    query, key, value = draw(3, 4, 2, 6, width)
    count = torch.tensor([6, 1, 3, 5])
    valid = torch.arange(6) < count[:, None]
    by_length = attend(query[:, :, :queries], key, value, Lengths(count))
    by_bias = attend(query[:, :, :queries], key, value, padding_bias(valid))
    for row, its, theirs in zip(valid[:, :queries], by_length, by_bias, strict=True):
        torch.testing.assert_close(its[:, row], theirs[:, row])


def test_what_comes_out_for_padding_is_finite_and_teaches_nothing(on_lengths):
    x = draw(2, 5, 12).requires_grad_()
    layer = Attention(12, num_heads=3).double()
    seen = layer(x, Lengths(torch.tensor([5, 2])))
    assert seen.isfinite().all()
    (grad,) = torch.autograd.grad(seen[1, :2].square().sum(), x)
    assert grad[1, :2].abs().sum() > 0
    assert not grad[1, 2:].any()
    assert not grad[0].any()


@pytest.mark.parametrize(
    "model",
    [
        lambda *parts: MAE(*parts, partial(Decoder, width=16, depth=2, heads=2), {"pixel": 48}),
        lambda *parts: SimMIM(*parts, {"pixel": 48}),
    ],
    ids=["mae", "simmim"],
)
def test_models_predict_the_same_by_length_and_by_bias(on_lengths, monkeypatch, batch_of, model):
    torch.manual_seed(0)
    model = model(
        ViT(32, 4, 32, 2, 4), Masker(Salience(), AdaptiveRatio(0.6, 0.3, threshold=0.3))
    ).double()
    batch = batch_of(draw(4, 3, 32, 32) * torch.tensor([0.0, 0.2, 1.0, 3.0]).view(4, 1, 1, 1))
    made = model(batch)
    by_bias, split = made.prediction, made.split
    assert split.masked_valid.sum(-1).unique().numel() > 1
    used = []
    for module in (vit, decoder):
        monkeypatch.setattr(
            module, "padding", lambda valid, tokens: used.append(1) or Lengths(valid.sum(1))
        )
    by_length = model(batch).prediction
    assert used
    torch.testing.assert_close(by_length[split.masked_valid], by_bias[split.masked_valid])
