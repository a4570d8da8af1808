"""The attention statistics of all blocks, in one pass over the images."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mim.analysis.attention_stats import (
    HeadStatistics,
    UpdateStatistics,
    head_statistics,
    update_statistics,
)
from mim.analysis.moments import Moments
from mim.batch import Batch
from mim.encoder.encoder import AttentionEncoder, Encoder, attending

NUMBERS_AT_ONCE = 2**24
"""Of attention matrices: 64 MB of float32, a few times over, whatever batch, heads and image."""


class AttentionPass:
    """Statistics of all blocks over all images, streamed: memory does not depend on how many there
    are.

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

    def see(self, encoder: AttentionEncoder, image: Tensor) -> None:
        """Note the attention of all blocks to a few images (B, 3, H, W).

        What tokens attend to is computed in float32, whatever the precision in force.
        """
        heads, updates = [], []
        for number, tokens in enumerate(
            encoder.encode_blocks(encoder.embed(image), range(encoder.depth)), start=1
        ):
            matrix = encoder.block_attention(tokens, block=number, dtype=torch.float32)
            # (B, A, statistics)
            heads.append(torch.stack(head_statistics(matrix, self.grid), dim=-1))
            update = encoder.block_update(tokens, number)
            updates.append(torch.stack(update_statistics(tokens, update, encoder.prefix), dim=-1))
        by_head = torch.stack(heads, dim=1)  # (B, blocks, A, statistics)
        self.head.add(by_head)
        self.block.add(by_head.mean(2))
        self.update.add(torch.stack(updates, dim=1))

    def summary(self) -> dict[str, dict[str, list]]:
        """By statistic, a list over blocks of each: `mean`, `std_over_images`, `std_over_heads` and
        `heads` (each one's mean).

        What attention adds has no heads.
        """
        named: dict[str, dict[str, list]] = {}
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


def check_attends(encoder: Encoder) -> AttentionEncoder:
    """The encoder, once it is known to have attention to measure.

    Raises:
        ValueError: where it has no cls token that attends to all patches.
    """
    return attending(
        encoder, "so its attention has no such statistics; give a checkpoint of a ViT or a Beit"
    )


@torch.no_grad()
def measure(
    encoder: Encoder,
    batches: Iterable[Batch],
    prepare: Callable[[Batch], Batch],
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> AttentionPass:
    """Run the encoder, in eval mode, over every image once.

    Args:
        encoder: a ViT or a Beit; its mode is as before when this returns.
        batches: of clean images.
        prepare: moves a batch to the device and normalises it.
        autocast: the precision that the encoder runs in; what it attends to is computed in float32
            all the same.

    Raises:
        ValueError: where the encoder has no cls token that attends to all patches.
    """
    known = check_attends(encoder)
    stats = AttentionPass(known.geometry.grid)
    was_training = known.training
    known.eval()
    try:
        for batch in map(prepare, batches):
            for few in batch.image.split(_images_at_once(known)):
                with autocast():
                    stats.see(known, few)
    finally:
        known.train(was_training)
    return stats


def _images_at_once(encoder: AttentionEncoder) -> int:
    rows, columns = encoder.geometry.grid
    return max(1, NUMBERS_AT_ONCE // (encoder.heads * (encoder.prefix + rows * columns) ** 2))
