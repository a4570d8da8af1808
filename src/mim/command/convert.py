"""`python -m mim convert`: read weights of anyone's, write them in another format."""

import argparse
from pathlib import Path

from mim.checkpoint.gather import write_whole
from mim.installed import as_typed
from mim.weights.convert import write
from mim.weights.read import read_weights


def run(given: argparse.Namespace, configs: Path) -> None:
    """Convert, and say how to load the result."""
    if given.to == "ckpt":
        print(as_typed(write_whole(given.checkpoint, given.out)))
        return
    weights = read_weights(given.checkpoint, given.key)
    print(f"{'read':<14}{weights.origin}: {len(weights.tensors)} tensors")
    sizes = (given.heads, given.decoder_heads, given.image_size)
    print(as_typed(write(weights, given.out, given.to, *sizes)))
