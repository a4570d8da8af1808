"""What is computed on the device against the CPU: attention of every kind in every precision,
draws, and masks.
"""

import pytest
import torch
from hydra.utils import instantiate
from torch.nn.functional import scaled_dot_product_attention

from mim.draw import keys, uniform
from mim.encoder.attention import attend
from mim.encoder.padding import Lengths, padding, padding_bias
from mim.installed import CONFIGS
from mim.part import Part

# Forward and backward. Scores of the size 5 are rounded before they go to the exponential: half a
# unit of 2**-8 or 2**-5.
LIMITS = {torch.float32: (1e-5, 5e-5), torch.float16: (5e-3, 1e-2), torch.bfloat16: (3e-2, 6e-2)}
B, A, M, D = 6, 3, 50, 32


def draw(number, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)


def forward_and_back(attention, inputs, bias, weight):
    """What comes out, and gradients of queries, keys and values; only what `weight` counts
    matters.
    """
    inputs = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    seen = attention(*inputs, bias)
    (seen * weight).sum().backward()
    return [seen.detach(), *(tensor.grad for tensor in inputs)]


def compare(distance, within, device, dtype, inputs, bias, valid, weight):
    """In `dtype` on the device against float64 on the CPU, from the same rounded numbers."""
    inputs = [tensor.to(dtype) for tensor in inputs]
    exact_bias = (
        None
        if valid is None and bias is None
        else (padding_bias(valid) if bias is None else bias).double()
    )
    exact = forward_and_back(
        scaled_dot_product_attention, [t.double() for t in inputs], exact_bias, weight
    )
    there = Lengths(valid.sum(1).to(device)) if bias is None and valid is not None else bias
    there = there.to(device, torch.float32) if isinstance(there, torch.Tensor) else there
    ours = forward_and_back(attend, [t.to(device) for t in inputs], there, weight.to(device, dtype))
    ours = [tensor.cpu() for tensor in ours]
    counted = weight[..., :1].expand_as(exact[0]) != 0
    forward, backward = LIMITS[dtype]
    within("error", distance(ours[0][counted], exact[0][counted]), forward)
    within(
        "gradient_error",
        max(distance(o, e) for o, e in zip(ours[1:], exact[1:], strict=True)),
        backward,
    )


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("kind", ["none", "bias_of_heads", "bias_of_images", "one_query"])
def test_attention(distance, within, device, dtype, kind):
    queries = 1 if kind == "one_query" else M
    inputs = [draw(0, B, A, queries, D), draw(1, B, A, M, D), draw(2, B, A, M, D)]
    bias = {"bias_of_heads": draw(3, 1, A, M, M), "bias_of_images": draw(3, B, 1, 1, M)}.get(kind)
    bias = None if bias is None else bias.to(dtype)
    compare(
        distance,
        within,
        device,
        dtype,
        inputs,
        bias,
        None,
        draw(4, B, A, queries, D).to(dtype).double(),
    )


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize("queries", [1, 20, M])
def test_attention_within_rows_of_unequal_length(distance, within, device, dtype, queries):
    """By lengths where the device has the kernel for it (half precision on a GPU), by a bias
    elsewhere, as `padding` chooses.
    """
    count = torch.tensor([M, 1, 7, 33, M - 1, 20])
    valid = torch.arange(M) < count[:, None]
    inputs = [draw(0, B, A, queries, D), draw(1, B, A, M, D), draw(2, B, A, M, D)]
    weight = draw(4, B, A, queries, D).to(dtype).double() * valid[:, None, :queries, None]
    chosen = padding(valid.to(device), torch.zeros(1, device=device, dtype=dtype))
    by_length = isinstance(chosen, Lengths)
    assert by_length == (device.type == "cuda" and dtype != torch.float32)
    bias = None if by_length else chosen.cpu()
    compare(distance, within, device, dtype, inputs, bias, valid, weight)


def test_padding_teaches_nothing_and_is_finite(device):
    dtype = torch.bfloat16
    query, key, value = (draw(n, 2, A, M, D).to(device, dtype).requires_grad_() for n in range(3))
    valid = torch.arange(M, device=device) < torch.tensor([[M], [9]], device=device)
    seen = attend(query, key, value, padding(valid, query[:, 0]))
    assert seen.isfinite().all()
    seen[1, :, :9].float().square().sum().backward()
    for tensor in (key, value):
        assert tensor.grad[1, :, :9].abs().sum() > 0
        assert not tensor.grad[1, :, 9:].any()
        assert not tensor.grad[0].any()


@pytest.mark.parametrize("stream", range(5))
def test_draws_are_the_same_to_the_bit(device, stream):
    key = keys(3, 7, torch.arange(1000))
    assert uniform(key.to(device), 197, stream).cpu().equal(uniform(key, 197, stream))


MASKERS = sorted(path.stem for path in (CONFIGS / "masker").glob("*.yaml"))


@pytest.mark.parametrize("name", MASKERS)
def test_masks_are_those_of_the_cpu(composed_command, batch_of, batch_there, device, within, name):
    cfg = composed_command(f"python train.py masker={name}")
    masker = instantiate(cfg.masker)
    for part in masker.modules():
        if hasattr(part, "maps"):
            part.maps = draw(5, 64, 14, 14).abs().half()
        if isinstance(part, Part):
            part.begin_epoch(50)
    image = draw(6, 64, 3, 32, 32).float()
    tokens = draw(7, 64, 196, 16).float()
    here = masker(batch_of(image), (14, 14), tokens)
    for part in masker.modules():
        if hasattr(part, "maps"):
            part.maps = part.maps.to(device)
    there = masker.to(device)(batch_there(image), (14, 14), tokens.to(device))
    assert there.visible.device.type == device.type
    changed = (hidden(there, 196).cpu() != hidden(here, 196)).double().mean().item()
    # salience is rounded, and a ratio with it
    within("changed", changed, 5e-3 if masker.needs_tokens else 0.0)


def hidden(split, patches):
    """Which patches are masked in which part, in whatever order: (B, K, L) bool."""
    index, valid = split.masked, split.masked_valid
    there = torch.ones_like(index, dtype=torch.bool) if valid is None else valid
    counts = torch.zeros(*index.shape[:2], patches, device=index.device)
    return counts.scatter_add(2, index, there.float()) > 0
