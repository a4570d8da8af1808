from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mim.callback.activation_checkpointing import ActivationCheckpointing
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.strategy.sharding import blocks


def step(encoder: nn.Module) -> tuple[int, dict[str, torch.Tensor]]:
    """Values that are kept for the backward pass, and the gradients."""
    kept = []
    torch.manual_seed(1)
    with saved_tensors_hooks(
        lambda tensor: kept.append(tensor.numel()) or tensor, lambda tensor: tensor
    ):
        loss = (
            encoder(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
            .square()
            .mean()
        )
    loss.backward()
    return sum(kept), {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}


def vit() -> nn.Module:
    torch.manual_seed(0)
    return ViT(32, 8, 32, 4, 2, drop_path=0.3)


@pytest.mark.parametrize("every", [1, 2])
def test_fewer_activations_are_kept_and_every_gradient_is_the_same(every):
    plain, checkpointed = vit(), vit()
    ActivationCheckpointing(every).setup(None, SimpleNamespace(model=checkpointed), "fit")
    (all_kept, expected), (kept, gradient) = step(plain), step(checkpointed)
    assert kept < all_kept * {1: 0.25, 2: 0.7}[every]
    assert gradient.keys() == expected.keys()
    assert all(value.equal(expected[name]) for name, value in gradient.items())
    assert checkpointed.state_dict().keys() == plain.state_dict().keys()


def test_blocks_are_found_in_every_stage_and_in_order():
    swin = Swin(64, 32, 8, [1, 2, 1, 1], [1, 1, 1, 1], 2)
    assert len(blocks(swin)) == 5
    assert blocks(swin)[0] is swin.layers[0].blocks[0]


def test_no_block_at_all_is_refused():
    with pytest.raises(ValueError, match="every_n_blocks=0 does not fit; it should be at least 1"):
        ActivationCheckpointing(0)
