"""`python -m mim export`: build the encoder of a checkpoint, and write it as a file that runs
without this project.
"""

import argparse
from pathlib import Path

from mim.weights.build import build_encoder
from mim.weights.export import export_encoder
from mim.weights.images import image_format
from mim.weights.into_model import load_weights_into
from mim.weights.read import read_weights


def run(given: argparse.Namespace, configs: Path) -> None:
    """Export, and say how to run the result."""
    weights = read_weights(given.checkpoint, given.key)._replace(own_encoder=given.encoder)
    encoder = build_encoder(weights, given.image_size, given.heads)
    print(f"{'read':<14}{load_weights_into(weights, encoder)}")
    print(
        f"{'wrote':<14}{given.out}: "
        f"{export_encoder(encoder, given.out, given.to, image_format(weights))}"
    )
    call = {
        "onnx": f'onnxruntime.InferenceSession("{given.out}").run(["tokens"], {{"image": '
        f"images}})[0]  # numpy float32",
        "program": f'torch.export.load("{given.out}").module()(images)',
    }
    print(f"{'run with':<14}{call[given.to]}")
