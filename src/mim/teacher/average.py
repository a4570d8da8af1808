"""Exponential moving average of weights that follows a student (Mean Teacher, arXiv 1703.01780)."""

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mim.encoder.encoder import Encoder
from mim.optim.number import NumberSchedule, number_at
from mim.part import Part, Progress
from mim.ranges import Share


class Average(Part, nn.Module):
    """Exponential moving average of a student's encoder, and of other modules of it where asked
    for.

    A copy of the student before the first step. After each step of the optimiser, however many
    batches it took,

        teacher = momentum * teacher + (1 - momentum) * student

    for every parameter. Buffers are not averaged: those of an encoder are tables that never change,
    and data2vec's release damages one of them that way. It is never trained by gradients, and runs
    without stochastic depth.

    Args:
        student: the model that is trained; has all modules in `of` under these names.
        momentum: share of the teacher that stays in a step, a number or a schedule of it
            (`mim.optim.number`).
        of: names of the student's modules that it averages, the encoder among them.
        late: follow before the optimiser steps, and not after: a step behind (CAE's release, which
            averages in the forward pass, once the targets are made).

    Raises:
        ValueError: where the momentum is no share, or the student has no such module.
    """

    def __init__(
        self,
        student: nn.Module,
        momentum: Share | NumberSchedule = 0.999,
        of: Sequence[str] = ("encoder",),
        late: bool = False,
    ):
        super().__init__()
        if isinstance(momentum, float | int) and not 0 <= momentum <= 1:
            raise ValueError(
                f"EMA got momentum={momentum}; needs a share from 0 to 1, e.g. "
                "teacher.momentum=0.999"
            )
        children = dict(student.named_children())
        missing = [name for name in of if name not in children]
        if missing or "encoder" not in of:
            raise ValueError(
                f"EMA got of={list(of)}; needs the encoder, and can average {', '.join(children)} "
                f"of {type(student).__name__}, e.g. teacher.of=[encoder]"
            )
        self.momentum, self.of, self.late = momentum, tuple(of), late
        self.progress = Progress(0, 1, 1)
        for name in of:
            self.add_module(name, copy.deepcopy(children[name]).requires_grad_(False))
        self.eval()

    @property
    def network(self) -> Encoder:
        """Averaged encoder."""
        return cast(Encoder, self.get_submodule("encoder"))

    def train(self, mode: bool = True) -> "Average":
        """Evaluation mode, whatever the student's."""
        return super().train(False)

    @torch.no_grad()
    def begin(self, student: nn.Module) -> None:
        """Copy the student's weights and buffers."""
        for name in self.of:
            theirs, own = student.get_submodule(name), self.get_submodule(name)
            for a, b in (
                (own.parameters(), theirs.parameters()),
                (own.buffers(), theirs.buffers()),
            ):
                for mine, yours in zip(a, b, strict=True):
                    mine.copy_(yours)

    def begin_step(self, progress: Progress) -> None:
        """Remember where the training is."""
        self.progress = progress

    def before_step(self, student: nn.Module) -> None:
        """Follow the student as it was before this step, where that is asked for."""
        if self.late:
            self.follow(student, self.progress)

    def after_step(self, student: nn.Module, progress: Progress) -> None:
        """Follow the student as it is after this step, unless it is followed late."""
        if not self.late:
            self.follow(student, progress)

    @torch.no_grad()
    def follow(self, student: nn.Module, progress: Progress) -> None:
        """Average the student in, with the momentum of a step."""
        momentum = number_at(self.momentum, progress)
        if not 0 <= momentum <= 1:
            raise ValueError(
                f"teacher.momentum is {momentum:g} at step {progress.step}; it has to stay from 0 "
                "to 1"
            )
        own: list[Tensor] = [p for name in self.of for p in self.get_submodule(name).parameters()]
        theirs: list[Tensor] = [
            p for name in self.of for p in student.get_submodule(name).parameters()
        ]
        torch._foreach_lerp_(own, theirs, 1 - momentum)
