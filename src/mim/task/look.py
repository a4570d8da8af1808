"""What a pool is given: the tokens after any block of an encoder, and what some of them attend to there."""

from collections.abc import Container, Mapping

import torch
from torch import Tensor, nn

from mim.encoder.blocks import check_number
from mim.encoder.encoder import Attends, Encoder


class Look(nn.Module):
    """Run an encoder on whole images and pool the tokens of one of its blocks.

    Args:
        encoder: (B, 3, H, W) -> (B, 1 + L, D).
        pools: fitted to it (`mim.pool.shape.fitted`), by name.
        block: after which block, counted from 1; null for the last.
        norm: whether the encoder's final norm is applied to them. Beyond [cls]'s release leaves it out, always.

    Raises:
        ValueError: where the encoder has no such block.
    """

    def __init__(self, encoder: Encoder, pools: Mapping[str, nn.Module], block: int | None = None, norm: bool = True):
        super().__init__()
        self.encoder, self.pools, self.norm = encoder, nn.ModuleDict(pools), norm
        self.block_number = check_number(block, encoder.depth)
        self.last = self.block_number == encoder.depth
        self.rows = sorted({row for pool in pools.values() for row in getattr(pool, "rows", ())})

    def forward(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, H, W) -> the tokens (B, 1 + L, D), and what each pool makes of them (B, D')."""
        tokens, attention = self.tokens(image)
        pooled = {}
        for name, pool in self.pools.items():
            asked = [attention[:, :, [self.rows.index(row) for row in pool.rows]]] if hasattr(pool, "rows") else []  # type: ignore[index, union-attr, arg-type]
            asked += [image] if getattr(pool, "needs_image", False) else []
            pooled[name] = pool(tokens, *asked)
        return tokens, pooled

    def only(self, names: Container[str]) -> "Look":
        """The same with some of the pools."""
        pools = {name: pool for name, pool in self.pools.items() if name in names}
        return Look(self.encoder, pools, self.block_number, self.norm)

    def tokens(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> tokens (B, 1 + L, D), and the attention of those that pools ask about (B, A, rows, 1 + L)."""
        if self.last and self.norm and not self.rows:
            return self.encoder(image), None
        embedded = self.encoder.embed(image)
        if self.rows and isinstance(self.encoder, Attends):
            blocks = [self.block_number - 1, self.block_number]
            entering, tokens = self.encoder.encode(embedded, blocks=blocks)
            attention = self.encoder.block_attention(entering, self.rows, self.block_number, torch.float32)
        else:
            (tokens,), attention = self.encoder.encode(embedded, blocks=[self.block_number]), None
        return self.encoder.norm(tokens) if self.norm else tokens, attention
