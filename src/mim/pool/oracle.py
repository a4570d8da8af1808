"""Another model says where to look: the oracle of Beyond [cls] (arXiv 2412.03215), such as DINO's
attention.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from mim.encoder.encoder import Encoder, attending, cls_attention
from mim.pool.by_attention import weighted
from mim.pool.pool import Needs, Shape


class Oracle(nn.Module):
    """The mean of our patches, weighted by the attention that another model's cls token pays the
    same places, over all heads.

    The other model sees the picture at the size that it was trained for; its map is carried to our
    grid.

    Args:
        shape: of our tokens.
        encoder: the other model, frozen.

    Raises:
        ValueError: where the other model has no cls token that attends to patches.
    """

    needs = Needs(image=True)

    def __init__(self, shape: Shape, encoder: Encoder):
        super().__init__()
        known = attending(
            encoder,
            "so it is no oracle; give a ViT's or a Beit's checkpoint, "
            "e.g. attention_from=timm:vit_small_patch16_224.dino",
        )
        self.encoder, self.grid = known.requires_grad_(False).eval(), shape.grid

    def train(self, mode: bool = True) -> "Oracle":
        """Stay as it is: the other model is never trained."""
        return self

    @torch.no_grad()
    def attention(self, image: Tensor) -> Tensor:
        """Where the other model looks: (B, C, H, W) -> (B, L) of our grid."""
        self.encoder.to(image.device)
        size, grid = self.encoder.geometry.image_size, self.encoder.geometry.grid
        if image.shape[-2:] != size:
            image = interpolate(image, size, mode="bicubic", antialias=True)
        # (B, 1, rows, columns)
        seen = cls_attention(self.encoder, image).mean(dim=1).unflatten(1, grid)[:, None]
        if grid != self.grid:
            seen = interpolate(seen, self.grid, mode="bilinear", antialias=True)
        return seen.flatten(1)

    def forward(self, patches: Tensor, image: Tensor) -> Tensor:
        """Patches (B, L, D), and the images (B, C, H, W) -> (B, D)."""
        return weighted(patches, self.attention(image))
