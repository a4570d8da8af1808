"""LARS as the official MAE probes with it (util/lars.py; You et al., arXiv 1708.03888), by
timm's.
"""

from collections.abc import Callable, Iterable
from typing import overload

import torch
from timm.optim import Lars as TimmLars
from torch import Tensor

from mim.optim.layer_decay import Group


class Lars(TimmLars):
    """Each matrix is stepped in proportion to its own norm; vectors and biases by plain momentum,
    and they are not decayed.

    timm's adapts where there is weight decay or `always_adapt`, and measures gradient and decay
    apart; the official one adapts every matrix, and measures their sum. So the decay is added to
    the gradient here, before timm's sees it.

    Args:
        params: parameters, or groups of them that may have `lr` and `weight_decay` of their own.
        lr: learning rate.
        weight_decay: of matrices.
        momentum: of all.
        trust: length of a step over that of what it changes.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        trust: float = 1e-3,
    ):
        given = list(params)
        groups = [each for each in given if isinstance(each, dict)] or [{"params": given}]
        split = []
        for group in groups:
            own, weights = {"lr": lr} | group, list(group["params"])
            decay = own.pop("weight_decay", weight_decay)
            matrices, vectors = (
                [p for p in weights if (p.ndim > 1) is many] for many in (True, False)
            )
            split.append(own | {"params": matrices, "always_adapt": True, "decay": decay})
            split.append(own | {"params": vectors, "always_adapt": False, "decay": 0.0})
        super().__init__(split, lr=lr, momentum=momentum, trust_coeff=trust, eps=0.0)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Decay the gradients, which a closure makes anew, then timm's step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"] if group["decay"] else ():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter, alpha=group["decay"])
        super().step()
        return loss
