"""Freeze the encoder of any checkpoint into a file that runs without this project, and check it on real pictures.

    python -m mim export runs/<name>/<date_time> encoder.onnx --to onnx
    python -m mim export runs/<name>/<date_time> encoder.pt2 --to program

It takes normalised images (B, 3, H, W), for any B, and gives tokens (B, R + L, D), prefix first: cls, or none (Swin).
"""

from pathlib import Path

from mim.launch.arguments import Arguments, path
from mim.weights.build import build_encoder
from mim.weights.export import EXPORTERS, export_encoder
from mim.weights.images import image_format
from mim.weights.into_model import load_weights_into
from mim.weights.read import read_weights


def run(arguments: list[str], configs: Path) -> None:
    """Export, and say how to run the result."""
    parser = Arguments("python -m mim export", __doc__)
    parser.add_argument("checkpoint", help="a run folder, a file, timm:<name> or hf:<repository>")
    parser.add_argument("out", type=path, help="the file to write; must not exist yet")
    parser.add_argument("--to", choices=sorted(EXPORTERS), required=True)
    parser.add_argument("--image-size", type=int, help="pixels per side, where not those of the training")
    parser.add_argument("--encoder", help="a class of your own that the checkpoint is of: my_module.MyEncoder")
    parser.add_argument("--heads", type=int, help="attention heads, where nothing in the checkpoint says")
    given = parser.parse_args(arguments)
    weights = read_weights(given.checkpoint)._replace(own_encoder=given.encoder)
    encoder = build_encoder(weights, given.image_size, given.heads)
    print(f"{'read':<14}{load_weights_into(weights, encoder)}")
    print(f"{'wrote':<14}{given.out}: {export_encoder(encoder, given.out, given.to, image_format(weights))}")
    call = {
        "onnx": f'onnxruntime.InferenceSession("{given.out}").run(["tokens"], {{"image": images}})[0]  # numpy float32',
        "program": f'torch.export.load("{given.out}").module()(images)',
    }
    print(f"{'run with':<14}{call[given.to]}")
