"""Cross entropies of a student's distribution over prototypes with a teacher's: across views, and
of masked patches.

DINO, arXiv 2104.14294, equation 3; iBOT, arXiv 2111.07832, equations 2 and 3 (bytedance/ibot,
main_ibot.py: iBOTLoss).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mim.loss.centred import Centred
from mim.optim.number import NumberSchedule
from mim.precision import at_least_single
from mim.ranges import Count, Positive, Share
from mim.views import Seen, Shown


class Distillation(nn.Module):
    """Distributions over prototypes: a student's, and a teacher's that is centred and sharpened.

    Args:
        out: P, prototypes that both are distributions over.
        student_temperature: what the student's outputs are divided by.
        temperature: the same of the teacher's; a number, or a schedule of it (`mim.optim.number`).
        centre_momentum: share of the teacher's centre that stays in a step.

    Raises:
        ValueError: where a temperature is not above 0, or the momentum no share.
    """

    def __init__(
        self,
        out: Count,
        student_temperature: Positive = 0.1,
        temperature: Positive | NumberSchedule = 0.04,
        centre_momentum: Share = 0.9,
    ):
        super().__init__()
        self.out, self.student_temperature = out, student_temperature
        self.target = Centred(out, temperature, centre_momentum)

    def shown(self, outputs: Tensor) -> Tensor:
        """A student's outputs (..., P) -> logarithms of its probabilities (..., P), in at least
        float32.
        """
        return (at_least_single(outputs) / self.student_temperature).log_softmax(-1)


class ClsDistillation(Distillation):
    """What the teacher makes of a view's cls token, predicted from every other view of the image;
    the mean over all pairs.

    Args:
        out, student_temperature, temperature, centre_momentum: those of `Distillation`.
    """

    def forward(self, made: Shown, seen: Seen) -> Tensor:
        """Outputs of student (V, B, P) and teacher (V', B, P), whose views are the student's first
        -> scalar.

        Raises:
            ValueError: where there is no other view.
        """
        outputs, views = at_least_single(seen.cls), len(made.cls)
        if views < 2:
            raise ValueError(
                "the loss compares views of an image, and the batch has one of each; take "
                "augment@data.augment=multi_crop"
            )
        target = self.target(outputs)
        self.target.observe(outputs.mean((0, 1)), outputs.shape[0] * outputs.shape[1])
        shown = self.shown(made.cls)
        # (V', B, P), of all views but the teacher's own
        others = shown.sum(0) - shown[: len(target)]
        return -(target * others).sum(-1).mean() / (views - 1)


class PatchDistillation(Distillation):
    """What the teacher makes of each patch that is masked, predicted from the same view.

    The mean over the masked patches of each view, then over views. As in the release, one in which
    nothing is masked counts as 0.

    Args:
        out, student_temperature, temperature, centre_momentum: those of `Distillation`.
    """

    def forward(self, made: Shown, seen: Seen) -> Tensor:
        """The student's outputs of masked patches (N, P), and what the teacher's last layer is
        given of all -> scalar.

        The last layer is linear: it gives the mean of all patches from their mean, and the masked
        ones alone by themselves.
        """
        assert made.patch is not None  # model and teacher know of this term
        assert made.masked is not None
        assert seen.patch is not None
        assert seen.weight is not None
        with torch.no_grad():
            self.target.observe(
                _mean_output(seen.patch, seen.weight, seen.bias),
                seen.patch.shape[0] * seen.patch.shape[1],
            )
            masked = seen.patch.flatten(0, 1).index_select(0, made.masked.number)  # (N, F)
            target = self.target.of_linear(masked, seen.weight, seen.bias)
        return -((target * self.shown(made.patch)).sum(-1) * made.masked.share).sum()


def _mean_output(patch: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Mean of the outputs of a linear layer (P,), from the mean of what it is given (N, L, F), in
    at least float32.
    """
    with torch.autocast(patch.device.type, enabled=False):
        mean = at_least_single(patch).mean((0, 1))
        return linear(mean, weight.to(mean.dtype), None if bias is None else bias.to(mean.dtype))
