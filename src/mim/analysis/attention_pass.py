"""The attention statistics of all blocks, in one pass over the images."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mim.analysis.attended import Attended, looking
from mim.analysis.attention_stats import HeadStatistics, UpdateStatistics, head_statistics, update_statistics
from mim.analysis.moments import Moments
from mim.batch import Batch

NUMBERS_AT_ONCE = (
    2**24
)  # of attention matrices: 64 MB of float32, a few times over, whatever the batch, heads and image


class AttentionPass:
    """Statistics of all blocks over all images, streamed: memory does not depend on how many there are.

    Args:
        grid: patches of an image, (rows, columns).
    """

    def __init__(self, grid: tuple[int, int]):
        self.grid = grid
        self.head = Moments()
        """Of (blocks, A, statistics): over images, each head on its own."""
        self.block = Moments()
        """Of (blocks, statistics): over images, heads averaged first."""
        self.update = Moments()
        """Of (blocks, 2): over images."""
        self._heads: list[Tensor] = []
        self._updates: list[Tensor] = []

    def see(self, attended: Attended) -> None:
        """Note one block's attention to one batch."""
        B, M, _ = attended.given.shape
        step = max(1, NUMBERS_AT_ONCE // (attended.attention.num_heads * M**2))
        few = [head_statistics(attended.matrix(slice(at, at + step)), self.grid) for at in range(0, B, step)]
        self._heads.append(torch.cat([torch.stack(part, dim=-1) for part in few]))  # (B, A, statistics)
        self._updates.append(torch.stack(update_statistics(attended.residual, attended.update), dim=-1))

    def end_batch(self) -> None:
        """All blocks have seen the batch."""
        heads = torch.stack(self._heads, dim=1)  # (B, blocks, A, statistics)
        self.head.add(heads)
        self.block.add(heads.mean(2))
        self.update.add(torch.stack(self._updates, dim=1))
        self._heads, self._updates = [], []

    def summary(self) -> dict[str, dict[str, Any]]:
        """By statistic, a list over blocks of each: `mean`, `std_over_images`, `std_over_heads` and `heads` (each one's mean).

        What attention adds has no heads.
        """
        named: dict[str, dict[str, Any]] = {}
        for i, name in enumerate(HeadStatistics._fields):
            heads = self.head.mean[..., i]  # (blocks, A)
            named[name] = {
                "mean": heads.mean(1).tolist(),
                "std_over_heads": heads.std(1, correction=min(1, heads.shape[1] - 1)).tolist(),
                "std_over_images": self.block.std[..., i].tolist(),
                "heads": heads.tolist(),
            }
        for i, name in enumerate(UpdateStatistics._fields):
            named[name] = {
                "mean": self.update.mean[:, i].tolist(),
                "std_over_images": self.update.std[:, i].tolist(),
            }
        return named


@torch.no_grad()
def measure(
    encoder: nn.Module,
    batches: Iterable[Batch],
    prepare: Callable[[Batch], Batch],
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> AttentionPass:
    """Run the encoder, in eval mode, over every image once.

    Args:
        encoder: a ViT or a Beit; its mode is as before when this returns.
        batches: of clean images.
        prepare: moves a batch to the device and normalises it.
        autocast: the precision that the encoder runs in; what it attends to is computed in float32 all the same.

    Raises:
        ValueError: where the encoder has no cls token that attends to all patches.
    """
    known: Any = encoder
    stats = AttentionPass(known.grid)
    was_training = encoder.training
    encoder.eval()
    try:
        with looking(encoder, stats.see):
            for batch in map(prepare, batches):
                with autocast():
                    encoder(batch.image)
                stats.end_batch()
    finally:
        encoder.train(was_training)
    return stats
