"""Views of an image are to be near the same prototypes, and all prototypes are to be used (MSN,
arXiv 2204.07141, section 3).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mim.all_processes import mean_of_all
from mim.optim.number import NumberSchedule, Varying
from mim.precision import at_least_single
from mim.ranges import Count, NonNegativeInt, NotNegative, Positive, in_range, refuse_outside
from mim.views import Seen, Shown


class PrototypeMatch(Varying, nn.Module):
    """Cross entropy of a student's distribution over prototypes and a teacher's, and the mean
    entropy of the former (me-max).

    The distribution of a view is a softmax over cosines with learned prototypes. The teacher's is
    sharpened, made such that all images of a step use all prototypes alike (Sinkhorn,
    facebookresearch/msn, src/losses.py), and held constant. Means are over the images of all
    processes, not of accumulated batches; prototypes are not decayed. The release divides gradients
    of all but the prototypes by the number of processes, and leaves prototypes out of what is cut
    down; here they are as all others.

    Args:
        out: P, values that student and teacher make of a view.
        prototypes: how many.
        temperature: what cosines are divided by.
        sharpening: power of the teacher's distribution, as one over it; a number, or a schedule of
            it.
        sinkhorn: rounds of making prototypes used alike; 0 for none.
        mean_entropy: weight of the logarithm of the number of prototypes less the entropy of the
            mean distribution.
        entropy: weight of the mean entropy of the student's distributions; 0 as published.

    Raises:
        ValueError: where a temperature is none.
    """

    sharpening: float
    in_force: Tensor
    """The same, as compiled code reads it: a number that changes would compile it again."""

    @in_range
    def __init__(
        self,
        out: Count = 256,
        prototypes: Count = 1024,
        temperature: Positive = 0.1,
        sharpening: Positive | NumberSchedule = 0.25,
        sinkhorn: NonNegativeInt = 3,
        mean_entropy: NotNegative = 1.0,
        entropy: NotNegative = 0.0,
    ):
        super().__init__()
        self.out, self.temperature, self.sinkhorn = out, temperature, sinkhorn
        self.mean_entropy, self.entropy = mean_entropy, entropy
        self.register_buffer("in_force", torch.zeros(()), persistent=False)
        self.vary(sharpening=sharpening)
        self.prototypes = nn.Parameter(
            torch.empty(prototypes, out).uniform_(-(out**-0.5), out**-0.5)
        )

    def check_numbers(self) -> None:
        """Refuse a sharpening that is no temperature; any other is in force."""
        refuse_outside("PrototypeMatch.sharpening", self.sharpening, Positive)
        self.in_force.fill_(self.sharpening)

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are not decayed."""
        return {"prototypes"}

    def cosines(self, vectors: Tensor) -> Tensor:
        """Vectors (N, P) -> cosines with prototypes over the temperature (N, K), in at least
        float32.
        """
        # Products are divided by the prototypes' lengths, not prototypes: there are fewer of them.
        length = self.prototypes.norm(dim=1).clamp(min=1e-12)
        products = normalize(at_least_single(vectors), dim=1) @ self.prototypes.T
        return at_least_single(products) / (self.temperature * length)

    @torch.no_grad()
    def targets(self, vectors: Tensor) -> Tensor:
        """A teacher's vectors (B, P) -> distributions over prototypes (B, K)."""
        share = (self.cosines(vectors) / self.in_force).softmax(1)
        for _ in range(self.sinkhorn):
            share = share / mean_of_all(share.sum(0))
            share = share / share.sum(1, keepdim=True)
        return share

    def forward(self, made: Shown, seen: Seen) -> Tensor:
        """What a student made of views (V, B, P), and a teacher of one (1, B, P) -> scalar."""
        logarithm = self.cosines(made.cls.flatten(0, 1)).log_softmax(1)  # (V * B, K)
        target = self.targets(seen.cls.flatten(0, 1)).repeat(len(made.cls), 1)
        loss = -(target * logarithm).sum(1).mean()
        share = logarithm.exp()
        mean = mean_of_all(share.mean(0))
        loss = loss + self.mean_entropy * (math.log(len(mean)) - torch.special.entr(mean).sum())
        return loss - self.entropy * (share * logarithm).sum(1).mean() if self.entropy else loss
