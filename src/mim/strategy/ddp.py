"""All weights on every process, gradients averaged while they are made (Li et al., arXiv
2006.15704).
"""

import pytorch_lightning as L
from pytorch_lightning.strategies import DDPStrategy

from mim.run.insides import renew_threads


class DDP(DDPStrategy):
    """Gradients live where they are sent from; and a step that is the same every time is prepared
    once (static graph).

    With accumulated batches it is not: the first ones send nothing, which a static graph cannot
    begin with.
    """

    def __init__(self) -> None:
        # Buffers are tables that never change; sent round in each forward, they would wait for
        # processes with fewer batches.
        super().__init__(gradient_as_bucket_view=True, broadcast_buffers=False)

    def setup_environment(self) -> None:
        """Start the processes' group."""
        renew_threads()
        super().setup_environment()

    def setup(self, trainer: L.Trainer) -> None:
        """Wrap the model."""
        self._ddp_kwargs["static_graph"] = trainer.accumulate_grad_batches == 1
        super().setup(trainer)
