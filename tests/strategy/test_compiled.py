"""Blocks that are compiled one by one, where weights are gathered between them."""

from functools import partial

import torch
from torch._dynamo import config

from mim.encoder.vit import ViT
from mim.strategy.compiled import compile_blocks
from mim.strategy.sharding import blocks


def test_more_rates_of_stochastic_depth_than_pytorch_takes_graphs_are_compiled(monkeypatch):
    """A graph each, once; the tokens are those of a network that is not compiled."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(config, "recompile_limit", 2)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    encoder, image = ViT(8, 4, 8, 4, 2, drop_path=0.4).train(), torch.randn(2, 3, 8, 8)
    expected = [run(encoder, image) for _ in range(2)]
    compile_blocks(blocks(encoder))
    found = [run(encoder, image) for _ in range(2)]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert len(graphs) == 4


def run(encoder, image):
    """Tokens of a step, whose draws are the same each time."""
    torch.manual_seed(1)
    return encoder(image)
