"""From pixels to tokens: only the patches that are asked for, each with its position."""

from torch import Tensor, nn
from torch.nn.functional import linear

from mim.tokens import patchify, take_patches


def project(image: Tensor, index: Tensor | None, projection: nn.Conv2d) -> Tensor:
    """Embed patches by a convolution whose stride is its kernel, as the matrix product that it is.

    Images (B, C, H, W) -> all tokens (B, L, D), or only those at indices (B, K, M) -> (B, K, M, D).
    """
    height, width = projection.kernel_size
    size = height, width
    patches = patchify(image, size) if index is None else take_patches(image, index, size)
    # (D, P), a patch is (row, column, channel)
    weight = projection.weight.permute(0, 2, 3, 1).flatten(1)
    return linear(patches, weight, projection.bias)


def add_positions(tokens: Tensor, index: Tensor | None, position: Tensor) -> Tensor:
    """Add positions (1, L, D), in the tokens' precision, to all tokens (B, L, D) or to those at
    indices: (B, K, M, D).
    """
    if index is not None:
        position = position[0][index]
    return tokens + position.to(tokens.dtype)
