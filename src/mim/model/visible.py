"""Where a forward pass begins: some patches are hidden, and the others are embedded."""

from torch import Tensor

from mim.batch import Batch
from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.split import Split
from mim.tokens import take


def embed_visible(encoder: ViT | Beit | Swin, masker: Masker, batch: Batch) -> tuple[Tensor, Split]:
    """Images (B, 3, H, W) -> tokens of the visible patches (B, K, Lv, D), and what is visible and what is masked.

    A masker that looks at tokens needs all of them embedded; otherwise hidden patches never are.
    """
    if not masker.needs_tokens:
        split = masker(batch, encoder.grid)
        return encoder.embed(batch.image, split.visible), split
    tokens = encoder.embed(batch.image)  # (B, L, D)
    split = masker(batch, encoder.grid, tokens.detach())
    return take(tokens, split.visible), split
