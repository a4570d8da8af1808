"""Masked patches of all images, one after another."""

import pytest
import torch

from mim.masker.split import Split

MASKED = torch.tensor([[[3, 0]], [[1, 2]], [[2, 1]]])
VALID = torch.tensor([[[True, True]], [[False, False]], [[True, False]]])


def test_padding_is_left_out_and_an_image_without_a_mask_counts_as_nothing():
    found = Split(MASKED, MASKED, None, VALID).masked_patches(4)
    assert found.column.tolist() == [0, 1, 4]
    assert found.number.tolist() == [3, 0, 4 + 4 + 2]
    assert found.share.tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 3])


def test_compiled_code_keeps_padding_which_counts_for_nothing(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found = Split(MASKED, MASKED, None, VALID).masked_patches(4)
    assert found.column.tolist() == list(range(6))
    assert found.number.tolist() == [3, 0, 5, 6, 10, 9]
    assert found.share.tolist() == pytest.approx([1 / 6, 1 / 6, 0, 0, 1 / 3, 0])


def test_without_padding_all_count_alike():
    found = Split(MASKED, MASKED).masked_patches(4)
    assert found.number.tolist() == [3, 0, 5, 6, 10, 9]
    assert found.share.tolist() == pytest.approx([1 / 6] * 6)


def test_nothing_may_be_masked_at_all():
    found = Split(MASKED, MASKED, None, torch.zeros_like(VALID)).masked_patches(4)
    assert found.number.shape == found.share.shape == (0,)
