"""MAE as its authors' code makes it: every patch embedded, masks by sorting noise, unfused
attention, a dense loss.

The reference in speed of `benchmarks/gpu/fast.py`, written over timm's blocks (models_mae.py,
engine_pretrain.py, util/misc.py of facebookresearch/mae say what is done in which order).
"""

from functools import partial

import torch
from sizes import Sizes
from timm.models.vision_transformer import Block, PatchEmbed
from torch import Tensor, nn

from mim.encoder.initialise import initialise_mae
from mim.encoder.positions import sincos_positions

RATIO = 0.75


class Official(nn.Module):
    """Images (B, 3, H, W) -> scalar loss on normalised pixels."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        (width, depth, heads), (decoder_width, decoder_depth, decoder_heads) = (
            sizes.encoder,
            sizes.decoder,
        )
        self.patch = sizes.patch
        self.patch_embed = PatchEmbed(sizes.image, sizes.patch, 3, width)
        grid = (sizes.image // sizes.patch,) * 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.register_buffer("positions", sincos_positions(width, grid).float())
        self.register_buffer("decoder_positions", sincos_positions(decoder_width, grid).float())
        self.blocks, self.norm = _blocks(width, depth, heads), nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.decoder_blocks = _blocks(decoder_width, decoder_depth, decoder_heads)
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_width, 3 * sizes.patch**2)
        self.apply(initialise_mae)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.positions[1:]
        B, L, D = x.shape
        keep = int(L * (1 - RATIO))
        shuffle = torch.rand(B, L, device=x.device).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        x = x.gather(1, shuffle[:, :keep, None].expand(-1, -1, D))
        mask = torch.ones(B, L, device=x.device)
        mask[:, :keep] = 0
        mask = mask.gather(1, restore)
        x = torch.cat([(self.cls_token + self.positions[:1]).expand(B, -1, -1), x], dim=1)
        x = self.decoder_embed(self.norm(self.blocks(x)))
        hidden = self.mask_token.expand(B, L - keep, -1)
        patches = torch.cat([x[:, 1:], hidden], dim=1)
        patches = patches.gather(1, restore[:, :, None].expand(-1, -1, x.shape[2]))
        x = torch.cat([x[:, :1], patches], dim=1) + self.decoder_positions
        prediction = self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]
        target = self._patchify(image)
        mean, var = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
        error = (prediction - (target - mean) / (var + 1e-6) ** 0.5) ** 2
        return (error.mean(dim=-1) * mask).sum() / mask.sum()

    def _patchify(self, image: Tensor) -> Tensor:
        rows = image.shape[2] // self.patch
        x = image.reshape(len(image), 3, rows, self.patch, rows, self.patch)
        return torch.einsum("nchpwq->nhwpqc", x).reshape(len(image), rows * rows, -1)


def _blocks(width: int, depth: int, heads: int) -> nn.Sequential:
    blocks = nn.Sequential(
        *(
            Block(width, heads, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
            for _ in range(depth)
        )
    )
    for block in blocks:
        block.attn.fused_attn = False
    return blocks
