"""CAPI's encoder beside what its release writes down, on whole images and on some patches."""

import pytest
import torch
from torch.nn.functional import gelu, rms_norm, scaled_dot_product_attention

from mim.encoder.capi import CapiViT


def made(**changes):
    torch.manual_seed(0)
    encoder = CapiViT(
        **{"image_size": (16, 24), "patch_size": 8, "width": 32, "depth": 2, "heads": 2} | changes
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return encoder.eval()


def by_hand(encoder, image, patches):
    """As capi/model.py has it, one token after the other: (R + M, D) of one image."""
    grid = [(row / 1, column / 2) for row in range(2) for column in range(3)]
    places = [grid[number] for number in patches]
    low = [min(place[axis] for place in places) for axis in (0, 1)]
    span = [max(place[axis] for place in places) - low[axis] for axis in (0, 1)]
    quarter = encoder.prefix // 4
    edge = [(i / quarter, 0.0) for i in range(quarter)] + [
        (1.0, i / quarter) for i in range(quarter)
    ]
    edge += [(1 - i / quarter, 1.0) for i in range(quarter)] + [
        (0.0, 1 - i / quarter) for i in range(quarter)
    ]
    registers = [(low[0] + a * span[0], low[1] + b * span[1]) for a, b in edge]
    at = torch.tensor(registers + places)
    x = torch.nn.functional.conv2d(
        image, encoder.patch_embed.proj.weight, encoder.patch_embed.proj.bias, stride=8
    )
    x = torch.cat([encoder.reg_token[0], x.flatten(2)[0].T[list(patches)]])
    for block in encoder.blocks:
        y = rms_norm(x, (32,), block.norm1.weight, 1e-5)
        q, k, v = (y @ part.T for part in block.attn.qkv.weight.chunk(3))
        angle = at @ block.attn.freqs

        def turn(tokens, angle=angle):
            heads = []
            for head in tokens.split(16, dim=1):
                half = torch.cat([-head[:, 8:], head[:, :8]], dim=1)
                heads.append(head * angle.cos() + half * angle.sin())
            return heads

        seen = [
            scaled_dot_product_attention(*parts)
            for parts in zip(turn(q), turn(k), v.split(16, dim=1), strict=True)
        ]
        x = x + torch.cat(seen, dim=1) @ block.attn.proj.weight.T
        y = rms_norm(x, (32,), block.norm2.weight, 1e-5)
        x = x + gelu(y @ block.mlp.fc1.weight.T) @ block.mlp.fc2.weight.T
    return rms_norm(x, (32,), None, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("patches", [range(6), (1, 2, 5), (4, 0)])
def test_tokens_are_those_of_the_release(patches):
    encoder, image = made(), torch.randn(1, 3, 16, 24)
    index = torch.tensor([list(patches)])
    ours = encoder.encode(encoder.embed(image, index[:, None])[:, 0], index)
    assert torch.allclose(ours[0], by_hand(encoder, image, patches), atol=1e-5)
    if len(index[0]) == 6:
        assert torch.allclose(encoder(image), ours, atol=1e-6)


@torch.no_grad()
def test_padding_changes_no_token_and_moves_no_register():
    encoder, image = made(), torch.randn(1, 3, 16, 24)
    index = torch.tensor([[1, 2, 0]])
    valid = torch.tensor([[True, True, False]])
    padded = encoder.encode(encoder.embed(image, index[:, None])[:, 0], index, valid)
    alone = encoder.encode(encoder.embed(image, index[:, None, :2])[:, 0], index[:, :2])
    assert torch.allclose(padded[:, :-1], alone, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"width": 36}, {"registers": 6}])
def test_sizes_that_are_not_in_fours_are_refused(wrong):
    with pytest.raises(ValueError, match="CapiViT got width="):
        made(**wrong)
