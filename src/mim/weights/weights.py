"""Weights from anywhere, under our names."""

from typing import NamedTuple, TypeVar

from torch import Tensor

from mim.geometry import PatchResize
from mim.image_format import ImageFormat
from mim.plain import Settings, printable

T = TypeVar("T")


class Weights(NamedTuple):
    """What a checkpoint holds, whatever wrote it."""

    tensors: dict[str, Tensor]
    """`encoder.*` under timm's names; the rest (`decoder.*`, `mask_token`, `head.*`) under those of
    our models.
    """
    origin: str
    """Where from and in which format, for messages: `mae_pretrain_vit_base.pth (official MAE)`."""
    config: Settings | None = None
    """The resolved config of the run that wrote it, if one of ours did: plain data (plain.py),
    whoever wrote the file.
    """
    heads: int | None = None
    """Attention heads of the encoder, where something beside the tensors says so."""
    decoder_heads: int | None = None
    """The same of a decoder."""
    images: ImageFormat | None = None
    """How pictures become images for it, where something says so; `mim.weights.images`
    otherwise.
    """
    architecture: Settings | None = None
    """Settings of its encoder, where it is one of timm's that tensors alone may not tell."""
    own_encoder: str | None = None
    """Class of the user's own, `module.Class`, that the config may name as its encoder: what the
    command line says, never what a file does."""
    patches: PatchResize | None = None
    """How its first layer is carried to patches of another size; None refuses those."""

    def with_heads(self, heads: int | None) -> "Weights":
        """The same, with attention heads that somebody says, where nothing in the file does.

        Raises:
            ValueError: where the file says another number.
        """
        if heads is None:
            return self
        encoder = self.setting("encoder", dict, {})
        known = encoder.get("heads", self.heads)
        if known not in (None, heads):
            raise ValueError(
                f"{self.origin} has {printable(known, 60)} attention heads, and {heads} are asked "
                "for; leave heads out"
            )
        return self._replace(heads=heads)

    def setting(self, path: str, kind: type[T], default: T) -> T:
        """A value of the config by its path, `masker.partition.ratio`; the default where it has
        none.

        Raises:
            ValueError: where it is of another type.
        """
        node: object = self.config
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if node is None:
            return default
        if type(node) is not kind:
            raise ValueError(
                f"{self.origin}: {path}={printable(node, 60)} in its config is no {kind.__name__}"
            )
        return node

    def half(self, encoder: bool) -> dict[str, Tensor]:
        """The encoder's tensors, without `encoder.`; or all others."""
        prefix = "encoder."
        if encoder:
            return {
                name.removeprefix(prefix): value
                for name, value in self.tensors.items()
                if name.startswith(prefix)
            }
        return {name: value for name, value in self.tensors.items() if not name.startswith(prefix)}
