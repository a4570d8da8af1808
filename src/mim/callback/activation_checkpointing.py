"""Forget what a block computed in the forward pass and compute it again in the backward one (Chen
et al., arXiv 1604.06174).
"""

from functools import partial

import pytorch_lightning as L
from torch.utils.checkpoint import checkpoint

from mim.ranges import Count, in_range
from mim.strategy.sharding import blocks
from mim.train.training import Training


class ActivationCheckpointing(L.Callback):
    """Keep the input of every n-th block only: a step takes up to a third longer, and the blocks'
    activations are not held.

    Works under every strategy, and changes no result.

    Args:
        every_n_blocks: 1 for all blocks, 2 for every other one, ...
    """

    @in_range
    def __init__(self, every_n_blocks: Count = 1):
        self.every_n_blocks = every_n_blocks

    def setup(self, trainer: L.Trainer, pl_module: Training, stage: str) -> None:
        """Change how the blocks run, before a strategy cuts them up; their parameters keep their
        names.
        """
        for block in blocks(pl_module.model)[:: self.every_n_blocks]:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
