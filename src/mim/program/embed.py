"""Write features of pictures to a file: a row a picture, with its path, and its label if any.

    python -m mim embed runs/<name>/<date_time> photos/ --out features.parquet
    python -m mim embed timm:vit_small_patch16_224.dino data=cifar10 --out cifar10.npz --pool cls
    python -m mim embed mae_pretrain_vit_base.pth a.jpg b.jpg --out a.npz --patches --block 9

Folders in the folder are the labels. The same command goes on where it was stopped. A picture that
cannot be read is left out, and said. `data=own` is the data set of the run that wrote the
checkpoint.

.npz      path, label, feature (N, D) or (N, L, D), about: numpy.load
.csv      path, label, f0, f1, ...
.parquet  path, label, feature (a list of D, or L x D numbers); needs pyarrow
"""

import argparse
import re

from mim.door.table import writer_of
from mim.installed import CONFIGS
from mim.launch.arguments import Arguments, path
from mim.launch.check import nearest


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim embed", __doc__, refuse)
    parser.add_argument("checkpoint", help="a run folder, a file, timm:<name> or hf:<repository>")
    parser.add_argument(
        "pictures",
        nargs="+",
        help="a folder, files, or data=<name> and settings of it, data.root=...",
    )
    parser.add_argument(
        "--out", type=path, required=True, help="a .npz, .csv or .parquet file; must not exist yet"
    )
    parser.add_argument(
        "--pool", default="mean", help="a name of configs/pool; the default is mean"
    )
    parser.add_count("--block", "whose tokens, counted from 1; the default is the last")
    parser.add_argument(
        "--patches", action="store_true", help="all patch tokens, nothing is pooled"
    )
    parser.add_argument("--no-norm", action="store_true", help="without the encoder's final norm")
    parser.add_argument(
        "--part", choices=("held_out", "training"), default="held_out", help="of a data set"
    )
    parser.add_count("--batch-size", "images at a time; the default is 64", 64)
    parser.add_count("--workers", "processes that decode; the default is one a core", least=0)
    parser.add_argument(
        "--device", help="cpu, cuda, cuda:1; the default is cuda where there is one"
    )
    parser.add_argument(
        "--precision", choices=("float32", "bf16"), default="float32", help="the default is float32"
    )
    parser.add_opening()
    return parser


def refuse(given: argparse.Namespace) -> None:
    """Refuse a file that cannot be written, and what is no pool or no device."""
    writer_of(given.out, given.patches)
    pools = sorted(file.stem for file in (CONFIGS / "pool").glob("*.yaml"))
    if given.pool not in pools:
        raise ValueError(f"--pool={given.pool} is no pool; {nearest(given.pool, pools)}")
    if given.device is not None and not re.fullmatch(r"(cpu|cuda|mps|xpu)(:[0-9]+)?", given.device):
        raise ValueError(f"--device={given.device} is no device; e.g. cpu, cuda, cuda:1")
