"""Weights from anywhere, under our names."""

from typing import Any, NamedTuple

from torch import Tensor


class Weights(NamedTuple):
    """What a checkpoint holds, whatever wrote it."""

    tensors: dict[str, Tensor]
    """`encoder.*` under timm's names; the rest (`decoder.*`, `mask_token`, `head.*`) under those of our models."""
    origin: str
    """Where from and in which format, for messages: `mae_pretrain_vit_base.pth (official MAE)`."""
    config: dict[str, Any] | None = None
    """The resolved config of the run that wrote it, if one of ours did."""
    heads: int | None = None
    """Attention heads of the encoder, where something beside the tensors says so."""
    decoder_heads: int | None = None
    """The same of a decoder."""

    def half(self, encoder: bool) -> dict[str, Tensor]:
        """The encoder's tensors, without `encoder.`; or all others."""
        prefix = "encoder."
        if encoder:
            return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}
        return {name: value for name, value in self.tensors.items() if not name.startswith(prefix)}
