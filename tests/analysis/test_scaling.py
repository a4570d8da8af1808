import runpy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mim.analysis.scaling import Network, Stack, memory_ddp, memory_fsdp, traffic_ddp, traffic_fsdp
from mim.encoder.vit import ViT

ROOT = Path(__file__).parents[2]
NET = Network("small", 1_000_000, (Stack(64, 10, 50), Stack(32, 4, 197)), flops=1e9)


def kept(encoder: nn.Module, images: int) -> float:
    """Bytes an image that PyTorch keeps for the backward pass, each storage once and no weights."""
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}
    storages, alive = {}, []

    def pack(tensor):
        alive.append(tensor)  # a freed one would lend its address to the next
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(torch.randn(images, 3, 64, 64))
    return sum(size for place, size in storages.items() if place not in weights) / images


def test_a_block_keeps_what_pytorch_keeps_and_has_its_parameters():
    encoders = [ViT(64, 8, 48, depth, 4) for depth in (2, 4)]
    stack = Stack(48, 2, 65)
    assert stack.parameters == sum(p.numel() for p in encoders[0].blocks[0].parameters())
    two, four = (kept(encoder, 3) for encoder in encoders)
    assert stack.kept(full=4, half=4) == pytest.approx(
        (four - two) / 2, rel=0.02
    )  # in float32; norms keep their statistics too


def test_shares_together_are_the_whole_and_images_cost_the_same():
    whole, share = memory_ddp(NET, 8), memory_fsdp(NET, 8, shares=16)
    assert share.state * 16 == whole.state == 16 * NET.parameters
    assert share.activations == whole.activations == 8 * NET.activations()
    assert NET.activations(checkpointed=True) < 0.25 * NET.activations()
    assert sum(whole) == whole.total


def test_one_node_sends_nothing_and_more_nodes_wait_longer():
    assert traffic_ddp(NET, 8, 8).bytes_per_gpu == traffic_fsdp(NET, 8, 8).bytes_per_gpu == 0
    assert traffic_ddp(NET, 8, 8).waits == traffic_fsdp(NET, 8, 8).waits == 0
    few, many, grouped = (
        traffic_fsdp(NET, 32, 8),
        traffic_fsdp(NET, 1024, 8),
        traffic_fsdp(NET, 1024, 8, replicas=128),
    )
    assert many.waits > 30 * few.waits > 0
    assert grouped.waits < many.waits / 100
    assert many.smallest < few.smallest < grouped.smallest


def test_the_page_shows_what_the_script_prints(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["scaling.py"])
    runpy.run_path(str(ROOT / "benchmarks" / "scaling.py"), run_name="__main__")
    page = (ROOT / "docs" / "scaling.md").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert len(lines) > 30
    assert [line for line in lines if line not in page] == []
