"""Many classifiers on the same features at the price of little more than one."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from mim.optim.layer_decay import Group
from mim.pool.pool import Pool


class Setting(NamedTuple):
    """How one head is trained."""

    lr: float
    weight_decay: float

    def __str__(self) -> str:
        return f"lr={self.lr:g} weight_decay={self.weight_decay:g}"


class Heads(nn.Module):
    """Heads that start alike and differ in how they are trained: a pool, a batch norm without
    affine, a linear layer.

    That is MAE's linear probe (main_linprobe.py), and with a pool Beyond [cls]'s. Each head has its
    own parameters and running statistics; all of them see a batch in one call. A head's numbers do
    not depend on how many others there are.

    Args:
        pool: has weights to learn; None for what is pooled already, (B, width).
        width: numbers that stand for an image.
        classes: scores per image.
        settings: one for each head.
        seed: of the linear layers.
        std: deviation of their first weights, with biases of 0; null for torch's own uniform start,
            as Beyond [cls] has it (main_linprobe.py:283-305).
        norm_eps: epsilon of the batch norm; None for no norm, as DINO's probe.
    """

    def __init__(
        self,
        pool: Pool | None,
        width: int,
        classes: int,
        settings: list[Setting],
        seed: int = 0,
        std: float | None = 0.01,
        norm_eps: float | None = 1e-6,
    ):
        super().__init__()
        linear = nn.Linear(width, classes)
        draws = torch.Generator().manual_seed(seed)
        if std is None:
            bound = width**-0.5
            for parameter in (linear.weight, linear.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=draws)
        else:
            nn.init.trunc_normal_(linear.weight, std=std, generator=draws)
            nn.init.zeros_(linear.bias)
        first = nn.Identity() if pool is None else pool
        assert isinstance(first, nn.Module)
        norm = (
            nn.Identity() if norm_eps is None else nn.BatchNorm1d(width, affine=False, eps=norm_eps)
        )
        head = nn.Sequential(first, norm, linear)
        self.settings = settings
        self.heads = nn.ModuleList(copy.deepcopy(head) for _ in settings)
        self.statistics = {
            name: torch.stack([value] * len(settings)) for name, value in head.named_buffers()
        }

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width), or what the pool takes (B, L, D) -> scores of each head (heads, B,
        classes).
        """
        first = self.heads[0]
        every = [dict(head.named_parameters()) for head in self.heads]
        weights = {name: torch.stack([one[name] for one in every]) for name in every[0]}
        self.statistics = {name: value.to(x.device) for name, value in self.statistics.items()}

        def one(weights: dict[str, Tensor], statistics: dict[str, Tensor]) -> Tensor:
            return functional_call(first, (weights, statistics), (x,))

        with sdpa_kernel(SDPBackend.MATH):  # the others cannot be called for many heads at once
            return vmap(one)(weights, self.statistics)

    def loss(self, x: Tensor, label: Tensor) -> Tensor:
        """The sum over heads of each one's mean cross entropy: every head gets the gradient that it
        would get alone.
        """
        scores = self(x)
        return cross_entropy(
            scores.flatten(0, 1), label.repeat(len(scores)), reduction="sum"
        ) / len(label)

    def groups(self, factor: float = 1.0) -> list[Group]:
        """Parameter groups, a head each, for an optimiser: its learning rate, times `factor`, and
        its weight decay.
        """
        return [
            Group(params=list(head.parameters()), lr=lr * factor, weight_decay=decay)
            for head, (lr, decay) in zip(self.heads, self.settings, strict=True)
        ]
