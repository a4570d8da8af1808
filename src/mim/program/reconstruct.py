"""Draw what a pre-trained model makes of pictures: image, masked, predicted, and both together.

    python -m mim reconstruct runs/<name>/<date_time> photos/ --masker sbam --seeds 3 --out drawn
    python -m mim reconstruct mae_visualize_vit_large.pth a.jpg --masker masker.partition.ratio=0.6
    python -m mim reconstruct runs/<name>/<date_time> data=own --images 4

A .png a picture: a row a kind, a column a mask. Predictions of standardised patches are shown with
each patch's own mean and deviation put back. `--masker` takes a name of configs/masker and settings
of it; the mask need not be that of the training. Maskers that go by attention are shown the model's
own.
"""

import argparse

from mim.installed import CONFIGS
from mim.launch.arguments import Arguments, path
from mim.launch.check import nearest


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim reconstruct", __doc__, refuse)
    parser.add_argument("checkpoint", help="a run of pre-training, or weights with both halves")
    parser.add_argument(
        "pictures",
        nargs="+",
        help="a folder, files, or data=<name> and settings of it, data.root=...",
    )
    parser.add_argument(
        "--masker", nargs="+", default=["random"], help="a name, and settings: sbam masker.cell=2"
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        type=int,
        help="three to draw as red, green and blue, from 0, or one; the default is the first",
    )
    parser.add_count("--seeds", "how many masks of each picture; the default is 1", 1)
    parser.add_count("--images", "at most so many, evenly spread; the default is 8", 8)
    parser.add_argument(
        "--out", type=path, help="the folder to write to; the default is a new one of runs"
    )
    parser.add_argument(
        "--target",
        choices=("normalised", "raw"),
        help="what is predicted, where the checkpoint does not say: standardised patches (MAE) or "
        "pixels as they are (SimMIM)",
    )
    parser.add_argument(
        "--part", choices=("held_out", "training"), default="held_out", help="of a data set"
    )
    parser.add_size("where not those of the training")
    parser.add_count("--heads", "attention heads, where nothing in the checkpoint says")
    parser.add_count("--decoder-heads", "those of its decoder, alike")
    parser.add_argument(
        "--encoder", help="a class of your own that the checkpoint is of: my_module.MyEncoder"
    )
    parser.add_argument(
        "--key", help="which weights of a file that holds several: student, state_dict_ema"
    )
    return parser


def refuse(given: argparse.Namespace) -> None:
    """Refuse a masker that is none."""
    maskers = sorted(file.stem for file in (CONFIGS / "masker").glob("*.yaml"))
    for each in given.masker:
        if "=" not in each and each not in maskers:
            raise ValueError(f"--masker {each} is no masker; {nearest(each, maskers)}")
