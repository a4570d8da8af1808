"""What a pool is given: the tokens after any block of an encoder, and what some of them attend to there."""

from collections.abc import Container, Mapping
from typing import Any

from torch import Tensor, nn

from mim.analysis.attended import BIAS, attention_matrix


class Look(nn.Module):
    """Run an encoder on whole images and pool the tokens of one of its blocks.

    Args:
        encoder: (B, 3, H, W) -> (B, 1 + L, D).
        pools: fitted to it (`mim.pool.shape.fitted`), by name.
        block: after which block, counted from 1; null for the last.
        norm: whether the encoder's final norm is applied to them. Beyond [cls]'s release leaves it out, always.

    Raises:
        ValueError: where the encoder has no such block, or a pool wants the attention of one that has none.
    """

    def __init__(self, encoder: nn.Module, pools: Mapping[str, nn.Module], block: int | None = None, norm: bool = True):
        super().__init__()
        known: Any = encoder
        self.encoder, self.pools, self.norm = encoder, nn.ModuleDict(pools), norm
        blocks = list(known.blocks) if hasattr(known, "cls_attention") else []
        if block is not None and not 1 <= block <= len(blocks):
            has = f"blocks 1 to {len(blocks)}" if blocks else "stages, of which only the last one's tokens are patches"
            raise ValueError(
                f"block={block} of {type(encoder).__name__} cannot be looked at: it has {has}; or block=null"
            )
        self.block_number = block or len(blocks)  # 0 where there are none
        self.block: Any = blocks[self.block_number - 1] if blocks else None
        self.last = self.block_number == len(blocks)
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
        return Look(self.encoder, pools, self.block_number or None, self.norm)

    def tokens(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, 3, H, W) -> tokens (B, 1 + L, D), and the attention of those that pools ask about (B, A, rows, 1 + L)."""
        if self.last and self.norm and not self.rows:
            return self.encoder(image), None
        if self.block is None:
            raise ValueError(
                f"norm=false needs an encoder of equal blocks (vit, beit), not {type(self.encoder).__name__}"
            )
        seen: dict[str, Any] = {}

        def attends(attention: nn.Module, arguments: tuple[Tensor, ...], options: dict[str, Any]) -> None:
            bias = next((options[name] for name in BIAS if options.get(name) is not None), None)
            seen["attention"] = attention_matrix(attention, arguments[0], bias, self.rows)

        def leaves(block: nn.Module, arguments: tuple[Tensor, ...], tokens: Tensor) -> None:
            seen["tokens"] = tokens

        hooks = [self.block.register_forward_hook(leaves)]
        if self.rows:
            hooks.append(self.block.attn.register_forward_pre_hook(attends, with_kwargs=True))
        try:
            self.encoder(image)
        finally:
            for hook in hooks:
                hook.remove()
        final: Any = self.encoder.norm
        return (final(seen["tokens"]) if self.norm else seen["tokens"]), seen.get("attention")
