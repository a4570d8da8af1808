"""A model and its optimiser in one precision, ready to step, and turns in which several are
timed.
"""

import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

Built = Callable[[], nn.Module]


class Way(NamedTuple):
    """One way to train a model that maps images to a loss."""

    name: str
    build: Built
    dtype: torch.dtype = torch.bfloat16
    compiled: str = ""
    """Nothing, `whole` (the step is one graph), `graphs` (and replayed as a CUDA graph) or `blocks`
    (each block is one).
    """
    fused: bool = True
    """AdamW in one kernel; False is torch's default."""


class Contestant:
    """A way to train, on one device.

    float16 goes with a scaler and the norm of all gradients at each step, as in the official MAE
    (util/misc.py).

    Args:
        way: what is built.
        image: (B, 3, H, W), the same at each step.
        backend: of `torch.compile`.
    """

    def __init__(self, way: Way, image: Tensor, backend: str = "inductor"):
        torch.manual_seed(0)
        self.way, self.image = way, image
        self.model = way.build().to(image.device).train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.parameters = sum(p.numel() for p in trained)
        fused = way.fused or None
        self.optimizer = torch.optim.AdamW(
            trained, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=fused
        )
        self.scaler = torch.amp.GradScaler(image.device.type, enabled=way.dtype == torch.float16)
        if way.compiled == "blocks":
            for block in (part for part in self.model.modules() if isinstance(part, Block)):
                block.compile(backend=backend)
        elif way.compiled:
            how = (
                {"mode": "reduce-overhead"}
                if way.compiled == "graphs" and image.is_cuda
                else {"backend": backend}
            )
            self.model.compile(**how)
        start = time.perf_counter()
        self.first_loss = self.step().item()
        self.first_step = time.perf_counter() - start
        """Seconds, what compiling takes included."""

    def step(self) -> Tensor:
        """Forward, backward and optimiser; the loss."""
        with torch.autocast(
            self.image.device.type, self.way.dtype, enabled=self.way.dtype != torch.float32
        ):
            loss = self.model(self.image)
        self.scaler.scale(loss).backward()
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
            grads = [p.grad for p in self.model.parameters() if p.grad is not None]
            torch.norm(torch.stack([torch.norm(grad, 2) for grad in grads]), 2)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss.detach()

    def seconds(self, steps: int) -> float:
        """Wall time of one of `steps` steps, the device's queue empty before and after."""
        synchronise = torch.cuda.synchronize if self.image.is_cuda else lambda: None
        synchronise()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        synchronise()
        return (time.perf_counter() - start) / steps

    def peak(self) -> float:
        """GiB that this contestant alone needs for a step: weights, both moments, and the most that
        a step adds; 0 on a CPU.
        """
        if not self.image.is_cuda:
            return 0.0
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        self.step()
        return (torch.cuda.max_memory_allocated() - before + 12 * self.parameters) / 2**30


def take_turns(contestants: list[Contestant], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds a step of each contestant in each round, in an order drawn anew each round; one round
    before warms up.
    """
    seconds: dict[str, list[float]] = {c.way.name: [] for c in contestants}
    for _ in range(rounds + 1):
        for contestant in random.sample(contestants, len(contestants)):
            seconds[contestant.way.name].append(contestant.seconds(steps))
    return {name: times[1:] for name, times in seconds.items()}


def ratio(theirs: list[float], ours: list[float]) -> str:
    """Quotient of two columns taken round by round: median (lower quartile to upper)."""
    quotients = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, middle, high = (
        statistics.quantiles(quotients, n=4) if len(quotients) > 1 else quotients * 3
    )
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"
