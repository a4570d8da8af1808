"""Steps of methods that the GPU benchmark times, at toy size: they learn something, and masks of
compiled cases are of maskers that there are.
"""

import sys
from pathlib import Path

import pytest
import torch

GPU = Path(__file__).parents[2] / "benchmarks" / "gpu"


@pytest.fixture
def methods(monkeypatch):
    """benchmarks/gpu/methods.py as a module."""
    monkeypatch.syspath_prepend(GPU.parent)
    monkeypatch.syspath_prepend(GPU)
    before = set(sys.modules)
    yield __import__("methods")
    for name in {"methods", "sizes"} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["data2vec", "BootMAE", "CMAE", "I-JEPA", "iBOT", "MoCo v3"])
def test_a_method_has_a_loss_and_gradients(methods, name):
    sizes = sys.modules["sizes"].Sizes(32, 8, (48, 2, 3), (32, 1, 2))
    method = methods.Method(sizes, name, 4)
    loss = method(torch.randn(4, 3, 32, 32))
    loss.backward()
    assert loss.isfinite()
    trained = [p for p in method.task.model.encoder.blocks.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained)
    if method.task.teacher is not None:
        assert all(p.grad is None for p in method.task.teacher.parameters())


def test_all_methods_are_tested(methods):
    assert list(methods.METHODS) == ["data2vec", "BootMAE", "CMAE", "I-JEPA", "iBOT", "MoCo v3"]
