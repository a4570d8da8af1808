"""Contestants that take turns: processor time of a step of each, round by round."""

import random
import time
from collections.abc import Mapping
from typing import Any

import torch


class Contestant:
    """A way to compute a step, and its optimiser.

    Args:
        module: inputs -> the loss; `follow` is what comes after a step.
        inputs: of each step.
        bf16: whether to compute in bf16 where autocast does.
    """

    def __init__(self, module: Any, inputs: tuple[Any, ...], bf16: bool):
        self.module, self.inputs, self.bf16 = module.train(), inputs, bf16
        trained = [p for p in module.parameters() if p.requires_grad]
        self.parameters = sum(p.numel() for p in trained)
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        self.first_loss = self.step()

    def step(self) -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.module(*self.inputs)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.module.follow()
        return loss.item()

    def seconds(self) -> float:
        """Processor time of one step."""
        start = time.process_time()
        self.step()
        return time.process_time() - start


def compare(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of each in each round, but for the first, which warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name in random.sample(list(contestants), len(contestants)):
            seconds[name].append(contestants[name].seconds())
    return {name: times[1:] for name, times in seconds.items()}
