"""Teacher that sees the large views of an image whole (DINO, arXiv 2104.14294; iBOT, arXiv
2111.07832).
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from mim.batch import Batch
from mim.encoder.encoder import attending, cls_tokens
from mim.optim.number import NumberSchedule
from mim.ranges import Share
from mim.teacher.average import Average
from mim.views import Seen


@runtime_checkable
class ComparesViews(Protocol):
    """Student whose teacher sees its first views."""

    views: int
    """How many of them."""
    projects_patches: bool
    """Whether patches are compared too."""


class ViewsEMA(Average):
    """Exponential moving average of a student's encoder and head, which look at the first views of
    each image.

    The encoder runs in evaluation mode; the head as in training: where it has a batch norm, that
    goes by the batch, as published, and its running statistics are the teacher's own.

    Args:
        student: has an `encoder`, a `head` and `views`, how many of them its teacher sees; and
            `projects_patches`.
        momentum: share of the teacher that stays in a step, a number or a schedule of it
            (`mim.optim.number`).
        of: names of the student's modules that it averages.

    Raises:
        ValueError: where the momentum is no share, or the student has no such module.
    """

    def __init__(
        self,
        student: nn.Module,
        momentum: Share | NumberSchedule = 0.996,
        of: Sequence[str] = ("encoder", "head"),
    ):
        super().__init__(student, momentum, of)
        if "head" not in of:
            raise ValueError(
                f"teacher.of={list(of)} projects nothing; needs the head, e.g. "
                "teacher.of=[encoder,head]"
            )
        assert isinstance(student, ComparesViews)
        self.views, self.projects_patches = student.views, student.projects_patches

    def train(self, mode: bool = True) -> "ViewsEMA":
        """Evaluation mode but for the head, whatever the student's."""
        super().train(False)
        if "head" in self.of:
            self.get_submodule("head").train()
        return self

    @torch.no_grad()
    def forward(self, batch: Batch, attends: bool = False) -> Seen:
        """Views of B images -> what is made of the first V of each; with `attends` also the
        attention of the last block.
        """
        encoder, prefix = self.network, self.network.prefix
        head: Any = self.get_submodule("head")
        large, B = batch.of_views(self.views), len(batch.key)
        if not self.projects_patches and not attends:
            return Seen(head(cls_tokens(encoder, large.image)).unflatten(0, (self.views, B)))
        embedded = encoder.embed(large.image)
        attention = None
        if attends:
            looking = attending(
                encoder,
                "so its attention cannot decide what is hidden; take masker=block_ibot or random",
            )
            entering, left = looking.encode_blocks(embedded, [encoder.depth - 1, encoder.depth])
            tokens = encoder.norm(left)
            row = looking.block_attention(entering, [0], encoder.depth)[:, :, 0, prefix:]
            attention = row.unflatten(-1, encoder.geometry.grid)
        else:
            tokens = encoder.encode(embedded)
        if not self.projects_patches:
            cls: Tensor = head(tokens[:, 0])
            return Seen(cls.unflatten(0, (self.views, B)), attention=attention)
        cls, patch, weight, bias = head.distilled(tokens, prefix)
        return Seen(cls.unflatten(0, (self.views, B)), patch, weight, bias, attention)
