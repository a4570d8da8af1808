"""Decay of an encoder towards the weights that a training began from, in place of zero (L2-SP)."""

import copy

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mim.encoder.model import Model
from mim.part import Part
from mim.ranges import Positive


class DecayToStart(Part, nn.Module):
    """Decay of an encoder's weights towards those that its training began from.

    After each step of the optimiser, with w0 as it was before the first one and the rate that the
    step had,

        w = w - lr * strength * (w - w0)

    for every weight, bias and token of the encoder. It is the penalty strength / 2 |w - w0|^2 of
    L2-SP ("Explicit Inductive Bias for Transfer Learning with Convolutional Networks", arXiv
    1802.01483, equation 2), apart from the gradient as AdamW's decay is (arXiv 1711.05101): within
    it AdamW would divide the pull by the size of the gradients.

    Args:
        student: the model that is trained; its encoder is copied, and belongs to checkpoints.
        strength: of the pull, of the size of a weight decay.
    """

    def __init__(self, student: Model, strength: Positive):
        super().__init__()
        self.strength = strength
        self.encoder = copy.deepcopy(student.get_submodule("encoder")).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "DecayToStart":
        """Evaluation mode, whatever the student's."""
        return super().train(False)

    @torch.no_grad()
    def begin(self, student: nn.Module) -> None:
        """Keep the weights that are there."""
        for own, theirs in self._pairs(student):
            own.copy_(theirs)

    def pull_after_steps(self, student: nn.Module, optimizer: Optimizer) -> None:
        """Pull the student's encoder back after each step that this optimiser makes."""
        optimizer.register_step_post_hook(lambda optimizer, *_: self._pull(student, optimizer))

    @torch.no_grad()
    def _pull(self, student: nn.Module, optimizer: Optimizer) -> None:
        starts = {id(theirs): own for own, theirs in self._pairs(student)}
        for group in optimizer.param_groups:
            weights = [each for each in group["params"] if id(each) in starts]
            if weights:
                begun = [starts[id(each)] for each in weights]
                torch._foreach_lerp_(weights, begun, float(group["lr"]) * self.strength)

    def _pairs(self, student: nn.Module) -> list[tuple[Tensor, Tensor]]:
        """Each parameter of the encoder as it was, and as it is."""
        theirs = student.get_submodule("encoder").parameters()
        return list(zip(self.encoder.parameters(), theirs, strict=True))
