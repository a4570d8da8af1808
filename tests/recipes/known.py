"""Views and teachers whose values are known, to ask a loss with."""

from torch import Tensor

from mim.batch import Batch, blank


def two_views() -> Batch:
    """Batch of two images, each seen twice."""
    batch = blank(2, (32, 32))
    return batch._replace(views=batch.views * 2)


class Known:
    """Teacher of some blocks, whose tokens are the number of the block times a row of known
    values.
    """

    prefix = 1

    def __init__(self, values: Tensor, depth: int = 12):
        self.values, self.depth = values, depth

    def __call__(
        self,
        image: Tensor,
        blocks: list[int],
        through: str | None = None,
        added: bool = False,
        normed: bool = False,
    ) -> list[Tensor]:
        self.asked = list(blocks)
        if through:  # images, not tokens
            return [self.values.expand(len(image), -1) for _ in blocks]
        return [number**2 * self.values.expand(1, 5, -1) for number in blocks]


class KnownAlone(Known):
    """The same, which sees some patches."""

    def __call__(  # type: ignore[override]
        self,
        image: Tensor,
        blocks: list[int],
        index: Tensor,
        valid: Tensor | None,
        normed: bool,
    ) -> list[Tensor]:
        self.asked, self.seen, self.normed = list(blocks), index, normed
        return [self.values.expand(len(index), 1 + index.shape[-1], -1) for _ in blocks]
