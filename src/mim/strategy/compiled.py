"""Blocks of a model that is cut over processes, each compiled by itself."""

from collections.abc import Sequence

import torch
from torch import nn
from torch._dynamo import config

GRAPHS = 8
"""Of one block: views of several sizes, with and without padding, a teacher's without gradients."""


def compile_blocks(blocks: Sequence[nn.Module]) -> None:
    """Compile the forward pass of each block into one graph.

    Blocks of a kind share their graphs, but for the rate of stochastic depth, which is a number in
    the graph and grows from block to block: a model of 12 blocks has 12 of each. PyTorch refuses to
    go on after 8 graphs of one function, so it is told how many there may be.
    """
    config.recompile_limit = max(config.recompile_limit, GRAPHS * len(blocks))
    for block in blocks:
        block.forward = torch.compile(block.forward, fullgraph=True)
