"""What a pool is given: the tokens after any block of an encoder, and what some of them attend to
there.
"""

from collections.abc import Container, Mapping

import torch
from torch import Tensor

from mim.encoder.blocks import check_number
from mim.encoder.encoder import Attends, Encoder
from mim.pool.pool import CLS, Pool, pool_tokens


class FeatureExtractor:
    """Run an encoder on whole images and pool the tokens of one of its blocks.

    Args:
        encoder: (B, 3, H, W) -> (B, R + L, D).
        pools: fitted to it (`mim.pool.pool.fitted`), by name.
        block: after which block, counted from 1; null for the last.
        norm: whether the encoder's final norm is applied to them. Beyond [cls]'s release leaves it
            out, always.

    Raises:
        ValueError: where the encoder has no such block.
    """

    def __init__(
        self,
        encoder: Encoder,
        pools: Mapping[str, Pool],
        block: int | None = None,
        norm: bool = True,
    ):
        self.encoder, self.pools, self.norm = encoder, dict(pools), norm
        self.block_number = check_number(block, encoder.depth, type(encoder).__name__)
        self.last = self.block_number == encoder.depth
        self.queries = sorted({query for pool in pools.values() for query in pool.needs.queries})

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, 3, H, W) -> the tokens (B, R + L, D), and what each pool makes of them (B, D')."""
        tokens, attention = self.tokens(image)
        pooled = {}
        for name, pool in self.pools.items():
            needs = pool.needs
            needed: list[Tensor] = []
            if attention is not None and needs.queries:
                needed.append(
                    attention[:, :, [self.queries.index(query) for query in needs.queries]]
                )
            if needs.image:
                needed.append(image)
            pooled[name] = pool(pool_tokens(tokens, self.encoder.prefix, needs), *needed)
        return tokens, pooled

    def only(self, names: Container[str]) -> "FeatureExtractor":
        """The same with some of the pools."""
        pools = {name: pool for name, pool in self.pools.items() if name in names}
        return FeatureExtractor(self.encoder, pools, self.block_number, self.norm)

    def tokens(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> tokens (B, R + L, D), and attention of all queries to patches (B, A,
        queries, L).

        Attention is in float32, whatever the precision in force.
        """
        if self.last and self.norm and not self.queries:
            return self.encoder(image), None
        embedded, prefix, attention = self.encoder.embed(image), self.encoder.prefix, None
        if self.queries and isinstance(self.encoder, Attends):
            queries = [0 if query == CLS else prefix + query for query in self.queries]
            entering, tokens = self.encoder.encode_blocks(
                embedded, [self.block_number - 1, self.block_number]
            )
            attention = self.encoder.block_attention(
                entering, queries, self.block_number, torch.float32
            )[..., prefix:]
        else:
            (tokens,) = self.encoder.encode_blocks(embedded, [self.block_number])
        return self.encoder.norm(tokens) if self.norm else tokens, attention
