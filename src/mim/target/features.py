"""Tokens of a teacher in place of masked patches (data2vec, arXiv 2202.03555, section 3.2; I-JEPA,
arXiv 2301.08243).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, instance_norm, layer_norm

from mim.masker.split import Split
from mim.precision import at_least_single
from mim.ranges import Count, Positive
from mim.teacher.teacher import Teacher
from mim.tokens import take

Norm = Literal["layer", "instance", "batch"]


def _layer(x: Tensor, eps: float) -> Tensor:
    """Tokens (B, L, D), each of mean 0 and deviation 1 over its values."""
    return layer_norm(x, x.shape[-1:], eps=eps)


def _instance(x: Tensor, eps: float) -> Tensor:
    """Each channel over the patches of an image."""
    return instance_norm(x.mT, eps=eps).mT


def _batch(x: Tensor, eps: float) -> Tensor:
    """Each channel over the patches of all images."""
    return batch_norm(x.mT, None, None, training=True, eps=eps).mT


NORMS: Mapping[Norm, Callable[[Tensor, float], Tensor]] = {
    "layer": _layer,
    "instance": _instance,
    "batch": _batch,
}


class Features(nn.Module):
    """Mean of the patch tokens that leave a teacher's last blocks, each of them normalised, and the
    mean again.

    The teacher sees the whole image. Norms have no weights. As data2vec's release for images has it
    (facebookresearch/data2vec_vision, beit/engine_for_cyclical.py: 60-110, and README), tokens are
    taken after the residual; what feed-forward networks add before it is its `--layer_results fc`.

    Args:
        blocks: how many of the teacher's blocks are averaged, the last ones.
        of: what leaves a `block`, or what its `feed_forward` network adds (layer scale included).
        each: norms of the tokens of each block, one after the other.
        mean: norms of their mean.
        eps: of the norms, added to variances.
        final_norm: whether the teacher's own final norm comes first, as where one block is looked
            at: I-JEPA compares with what its encoder gives out (facebookresearch/ijepa,
            src/train.py: forward_target).

    Raises:
        ValueError: where several blocks, or what is added in one, are to pass the final norm.
    """

    needs_teacher = True
    dim = None

    def __init__(
        self,
        blocks: Count = 6,
        each: Sequence[Norm] = ("layer",),
        mean: Sequence[Norm] = ("layer",),
        eps: Positive = 1e-5,
        final_norm: bool = False,
        of: Literal["block", "feed_forward"] = "block",
    ):
        super().__init__()
        if final_norm and blocks != 1:
            raise ValueError(
                f"final_norm is the norm of the teacher's last block, and blocks={blocks} are "
                "averaged; e.g. loss.target.blocks=1"
            )
        if final_norm and of != "block":
            raise ValueError(
                f"final_norm is of tokens that leave a block, and of={of}; give "
                "loss.target.of=block"
            )
        self.final_norm, self.of = final_norm, of
        self.blocks, self.each, self.mean, self.eps = blocks, tuple(each), tuple(mean), eps

    @torch.no_grad()
    def forward(self, image: Tensor, split: Split, teacher: Teacher) -> Tensor:
        """Images (B, C, H, W), masked indices (B, K, Lm) -> (B, K, Lm, D), at least float32.

        Raises:
            ValueError: where the teacher has fewer blocks.
        """
        if self.blocks > teacher.depth:
            raise ValueError(
                f"target=features averages the last {self.blocks} blocks of a teacher that has "
                f"{teacher.depth}; "
                f"e.g. loss.target.blocks={teacher.depth}"
            )
        numbers = range(teacher.depth - self.blocks + 1, teacher.depth + 1)
        added = self.of == "feed_forward"
        left = teacher(image, list(numbers), added=added, normed=self.final_norm)
        tokens = [at_least_single(x[:, teacher.prefix :]) for x in left]
        total = torch.stack([self._normalised(x, self.each) for x in tokens]).mean(0)
        return take(self._normalised(total, self.mean), split.masked)

    def _normalised(self, x: Tensor, norms: Sequence[Norm]) -> Tensor:
        for norm in norms:
            x = NORMS[norm](x, self.eps)
        return x
