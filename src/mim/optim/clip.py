"""Gradients cut down to a length. That of all together is Lightning's
`trainer.gradient_clip_val`.
"""

from collections.abc import Iterable

from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from mim.ranges import Positive


class ClipEachParameter:
    """Gradient of each parameter tensor, cut down to a norm by itself (iBOT and DINO, utils.py:
    clip_gradients).

    Once an optimiser step, on what all processes and accumulated batches made together; a gradient
    that is cut over processes has the norm of the whole.

    Args:
        max_norm: of one parameter's gradient; g becomes g * max_norm / (|g| + 1e-6) where that is
            shorter.
    """

    def __init__(self, max_norm: Positive):
        self.max_norm = max_norm

    def __call__(self, parameters: Iterable[Tensor]) -> None:
        """Change the gradients in place."""
        for parameter in parameters:
            if parameter.grad is not None:
                clip_grad_norm_(parameter, self.max_norm)
