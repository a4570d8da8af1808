"""Accuracies and how sure they are."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mim.evaluate.metrics import accuracies, wilson


def test_wilson_s_interval_of_a_worked_example():
    low, high = wilson(0.9, 100)  # Brown, Cai & DasGupta, Statistical Science 16, 2001
    assert low == pytest.approx(0.8256, abs=1e-4)
    assert high == pytest.approx(0.9448, abs=1e-4)


@given(right=st.integers(0, 50), more=st.integers(0, 50))
def test_an_interval_holds_its_share_and_shrinks_with_more_images(right, more):
    count = right + more
    if count == 0:
        assert wilson(0.0, 0) == [0.0, 1.0]
        return
    low, high = wilson(right / count, count)
    assert 0 <= low <= right / count + 1e-9
    assert right / count - 1e-9 <= high <= 1
    wider = wilson(right / count, 10 * count)
    assert wider[1] - wider[0] < high - low


def test_top_one_top_five_and_each_class():
    score = torch.eye(6)[[0, 1, 1, 5]] + torch.tensor([0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    found = accuracies(score, torch.tensor([0, 1, 2, 4]), list("abcdef"))
    assert found["top1"] == 0.5
    assert found["top5"] == 0.75 + 0.25 * bool((score[3].topk(5).indices == 4).any())
    assert found["classes"]["c"] == {"top1": 0.0, "interval": wilson(0.0, 1), "images": 1}
    assert found["classes"]["d"]["images"] == 0
    assert "top5" not in accuracies(score[:, :5], torch.tensor([0, 1, 2, 4]), list("abcde"))
