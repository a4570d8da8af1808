from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.evaluate.attention_statistics import AttentionStatistics
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint


def untouchable(*arguments):
    raise AssertionError("images were asked for")


def subject(name, encoder, folder) -> EvaluatedCheckpoint:
    data = SimpleNamespace(val_dataloader=untouchable)
    return EvaluatedCheckpoint(name, encoder, data, untouchable, nullcontext, folder)


def test_a_checkpoint_that_cannot_be_measured_is_refused_before_any_other_is_measured(tmp_path):
    vit = ViT(image_size=32, patch_size=8, width=48, depth=1, heads=4)
    swin = Swin(image_size=64, patch_size=8, width=12, depths=[1, 1], heads=[2, 2], window=4)
    subjects = [subject("vit", vit, tmp_path), subject("swin", swin, tmp_path)]
    with pytest.raises(ValueError, match="Swin has no cls token that attends to all patches"):
        AttentionStatistics()(subjects)
    with pytest.raises(ValueError, match="give each one a name of its own"):
        AttentionStatistics(names=["ViT"])(subjects)


def test_no_image_at_all_is_refused():
    with pytest.raises(
        ValueError, match=r"AttentionStatistics.limit=0 does not fit; it should be at least 1"
    ):
        AttentionStatistics(limit=0)
