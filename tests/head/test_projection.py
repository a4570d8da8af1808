"""Projection head: its last layer has unit rows and may be frozen."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mim.head.projection import ProjectionHead, WeightNormLinear


def test_a_row_is_a_magnitude_times_a_direction():
    layer = WeightNormLinear(2, 2)
    with torch.no_grad():
        layer.weight_v.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
        layer.weight_g.copy_(torch.tensor([[10.0], [1.0]]))
    assert torch.allclose(layer.weight, torch.tensor([[6.0, 8.0], [0.0, 1.0]]))
    assert torch.allclose(layer(torch.tensor([[1.0, 1.0]])), torch.tensor([[14.0, 1.0]]))


@settings(max_examples=15)
@given(layers=st.integers(1, 4), bottleneck=st.integers(1, 6), scale=st.floats(0.1, 100))
def test_outputs_are_cosines_whatever_the_scale_of_the_bottleneck(layers, bottleneck, scale):
    head = ProjectionHead(5, 7, layers=layers, hidden=4, bottleneck=bottleneck)
    with torch.no_grad():
        head.mlp[-1].weight.mul_(scale)
        out = head(torch.randn(9, 5))
    assert out.shape == (9, 7)
    assert out.abs().max() <= 1 + 1e-5


def test_a_frozen_last_layer_has_no_gradient_to_go_by():
    head = ProjectionHead(
        5, 7, 7, hidden=4, bottleneck=3, shared=False, frozen_epochs=2, trained_magnitude=True
    )
    for epoch, frozen in ((0, True), (1, True), (2, False)):
        head.zero_grad()
        head.begin_epoch(epoch)
        (
            head(torch.randn(2, 5)).square().sum()
            + head.of_patches(head.features(torch.randn(2, 3, 5))).square().sum()
        ).backward()
        head.before_step(head)
        last = [*head.last_layer.parameters(), *head.patch_layer.parameters()]
        assert [p.grad is None for p in last] == [frozen] * 4
        assert head.mlp[0].weight.grad is not None


def test_magnitudes_stay_where_they_are_not_trained():
    assert not ProjectionHead(5, 7, hidden=4, bottleneck=3).last_layer.weight_g.requires_grad
    assert ProjectionHead(
        5, 7, hidden=4, bottleneck=3, trained_magnitude=True
    ).last_layer.weight_g.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_out": 6}, "they are to have 6 and 7"),
        ({"layers": 1, "bottleneck": 0}, "is its last layer alone"),
        ({"one_norm": True}, "one_norm=true would do nothing: a head of norm=null"),
        ({"one_norm": True, "norm": "layer", "layers": 2}, "a head of layers=2 has no two norms"),
        ({"shared": False}, "shared=false would do nothing: the loss predicts no patches"),
    ],
)
def test_what_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ProjectionHead(5, 7, **settings)
