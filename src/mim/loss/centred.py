"""Distribution of a teacher's outputs, centred and sharpened (DINO, arXiv 2104.14294, section
3.1).
"""

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import linear

from mim.all_processes import is_alone
from mim.optim.number import Changing, NumberSchedule, number_at
from mim.part import Progress
from mim.precision import at_least_single
from mim.ranges import Count, Positive, Share, in_range


class Centred(Changing, nn.Module):
    """softmax((outputs - centre) / temperature), where the centre follows the mean of all outputs
    that were seen.

    A step is compared by the centre from before it. Once the optimiser has stepped,

        centre = momentum * centre + (1 - momentum) * mean

    with the mean of the whole step, all processes and accumulated batches together (DINO,
    main_dino.py: update_center).

    Args:
        out: P, values of an output.
        temperature: a number, or a schedule of it (`mim.optim.number`).
        momentum: share of the centre that stays in a step.

    Raises:
        ValueError: where the temperature is not above 0, or the momentum no share.
    """

    centre: Tensor
    in_force: Tensor
    total: Tensor
    count: Tensor

    @in_range
    def __init__(
        self, out: Count, temperature: Positive | NumberSchedule = 0.04, momentum: Share = 0.9
    ):
        super().__init__()
        self.temperature, self.momentum = temperature, momentum
        self.schedules = (
            {"temperature": temperature} if isinstance(temperature, NumberSchedule) else {}
        )
        self.register_buffer("centre", torch.zeros(out))
        for name, shape in (("in_force", ()), ("total", (out,)), ("count", ())):
            self.register_buffer(name, torch.zeros(shape), persistent=False)
        self.begin_step(Progress(0, 1, 1))

    def begin_step(self, progress: Progress) -> None:
        """Set the temperature of this step; a tensor holds it, so that compiled code is not
        compiled again.
        """
        temperature = number_at(self.temperature, progress)
        if temperature <= 0:
            raise ValueError(
                f"a teacher's temperature is {temperature:g} at step {progress.step}; it has to "
                "stay above 0"
            )
        self.in_force.fill_(temperature)

    @torch.no_grad()
    def observe(self, mean: Tensor, count: int) -> None:
        """Remember what was seen in this step: the mean of so many outputs, (P,)."""
        if self.training:
            self.total += count * mean
            self.count += count

    @torch.no_grad()
    def after_step(self, student: nn.Module, progress: Progress) -> None:
        """Move the centre by what was seen."""
        seen = torch.cat([self.total, self.count[None]])
        if not is_alone():
            distributed.all_reduce(seen)
        if seen[-1] > 0:
            self.centre.lerp_(seen[:-1] / seen[-1], 1 - self.momentum)
        self.total.zero_()
        self.count.zero_()

    def forward(self, outputs: Tensor) -> Tensor:
        """(..., P), in at least float32 -> probabilities (..., P)."""
        return (outputs - self.centre).div_(self.in_force).softmax(-1)

    @torch.no_grad()
    def of_linear(self, given: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The same of what a linear layer (P, F) makes of features (N, F), without gradients.

        They are divided by the temperature before the layer and centred in place: of N * P values,
        the most that there are in a step, none is written but the products and the probabilities.
        """
        bias = None if bias is None else bias / self.in_force
        scaled = at_least_single(linear(given / self.in_force, weight, bias))
        return scaled.sub_(self.centre / self.in_force).softmax(-1)
