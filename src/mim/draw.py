"""Random numbers that belong to a key, not to a stream.

Every image of every step carries one 64-bit key, made from (seed, epoch, position in the epoch).
Whatever is random about it (its crop, its flip, its mask) is a function of that key, so the same
training results from any number of processes, workers or accumulation steps, on any device, and a
resumed run needs no saved random state.
"""

import torch
from torch import Tensor

# One stream for each purpose, so that an image's crop says nothing about its mask.
CROP, FLIP, MASK, RATIO, HINT, COLOUR, SHIFT = range(7)
SCENE, JITTER, SAMPLE = range(100, 103)  # of dense tasks

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, as a signed 64-bit number


def _mix(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): each input bit flips half the
    output bits.
    """
    # 0xBF58476D1CE4E5B9; the masks take off the sign
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * -4658895280553007687
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * -7723592293110705685  # 0x94D049BB133111EB
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def keys(seed: int, epoch: int, position: Tensor) -> Tensor:
    """One key for each image: positions in the epoch (B,) int64 -> (B,) int64."""
    # tensors, so that the products wrap around
    return _keys(torch.tensor(seed), torch.tensor(epoch), position)


def _keys(seed: Tensor, epoch: Tensor, position: Tensor) -> Tensor:
    return _mix(_mix(_mix(seed) + epoch * _GOLDEN) + position * _GOLDEN)


def view_key(key: Tensor, view: int) -> Tensor:
    """The keys of a view of each image: (B,) int64 -> (B,) int64. The first view has the image's
    own.
    """
    return keys(view, 0, key) if view else key


def view_keys(key: Tensor, first: int, count: int) -> Tensor:
    """Those of so many views from the first on, all at once: (B,) int64 -> (count, B) int64."""
    view = torch.arange(first, first + count, device=key.device)[:, None]
    return torch.where(view == 0, key, _keys(view, torch.zeros_like(view), key))


def uniform(key: Tensor, count: int, stream: int) -> Tensor:
    """`count` draws from U[0, 1) for each key: (B,) int64 -> (B, count) float32, a multiple of
    2**-24.
    """
    counter = torch.arange(1, count + 1, device=key.device)
    # The sum is multiplied, not the counter: compiled code takes that for index arithmetic, which
    # must not wrap around.
    bits = _mix((_mix(_mix(key) + stream)[:, None] + counter) * _GOLDEN)
    return ((bits >> 40) & 0xFFFFFF).float() * 2.0**-24
