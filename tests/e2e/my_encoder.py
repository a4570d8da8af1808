"""An encoder of a user's own: learned positions behind a cls token and two registers."""

import torch
from torch import nn

from mim.encoder.attention import Block
from mim.encoder.blocks import run_blocks
from mim.encoder.padding import padding_bias
from mim.geometry import Geometry
from mim.tokens import patchify, take_patches


class Registers(nn.Module):
    def __init__(self, image_size: int, patch_size: int, width: int, depth: int, heads: int,
                 drop_path: float = 0.0, channels: int = 3):  # fmt: skip
        super().__init__()
        self.geometry = Geometry.of(image_size, patch_size, channels)
        self.width, self.heads, self.depth, self.prefix = width, heads, depth, 3
        self.first = nn.Parameter(torch.randn(1, self.prefix, width) * 0.02)
        self.position = nn.Parameter(torch.randn(self.geometry.patches, width) * 0.02)
        self.project = nn.Linear(self.geometry.values_per_patch, width)
        self.blocks = nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def embed(self, image, index=None):
        size = self.geometry.patch_size
        patches = patchify(image, size) if index is None else take_patches(image, index, size)
        return self.project(patches) + (self.position if index is None else self.position[index])

    def position_token(self, token, index):
        return token + self.position[index]

    def new_token(self):
        return nn.Parameter(torch.zeros(1, 1, self.width))

    def encode(self, tokens, index=None, valid=None):
        return self.norm(self.encode_blocks(tokens, [self.depth], index, valid)[0])

    def encode_blocks(self, tokens, blocks, index=None, valid=None):
        x = torch.cat([self.first.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1)
        if valid is not None:
            valid = padding_bias(nn.functional.pad(valid, (self.prefix, 0), value=True))
        return run_blocks(x, self.blocks, [valid] * self.depth, blocks)

    def forward(self, image):
        return self.encode(self.embed(image))

    def attention(self, image, queries=None, block=None):
        (tokens,) = self.encode_blocks(self.embed(image), [(block or self.depth) - 1])
        return self.block_attention(tokens, queries, block)

    def block_attention(self, tokens, queries=None, block=None, dtype=None):
        chosen = self.blocks[(block or self.depth) - 1]
        return chosen.attn.rows(chosen.norm1(tokens), queries, dtype)

    def block_update(self, tokens, block=None):
        return self.blocks[(block or self.depth) - 1].update(tokens)

    def no_weight_decay(self):
        return {"first", "position"}
