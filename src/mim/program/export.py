"""Freeze the encoder of any checkpoint into a file that runs without this project; it is checked.

    python -m mim export runs/<name>/<date_time> encoder.onnx --to onnx
    python -m mim export runs/<name>/<date_time> encoder.pt2 --to program

It takes normalised images (B, 3, H, W), for any B, and gives tokens (B, R + L, D), prefix first:
cls, or none (Swin).
"""

from mim.launch.arguments import Arguments, path, refuse_existing

FORMATS = ("onnx", "program")


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim export", __doc__, lambda given: refuse_existing(given.out))
    parser.add_argument("checkpoint", help="a run folder, a file, timm:<name> or hf:<repository>")
    parser.add_argument("out", type=path, help="the file to write; must not exist yet")
    parser.add_argument("--to", choices=FORMATS, required=True)
    parser.add_opening()
    return parser
