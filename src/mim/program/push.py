"""Push the weights of any checkpoint to Hugging Face, with a model card.

    python -m mim push runs/<name>/<date_time> me/mae-digits --licence apache-2.0 --dry-run
    python -m mim push runs/<name>/<date_time> me/mae-digits --licence apache-2.0 --to hf --private

timm    an encoder or a classifier: timm.create_model("hf_hub:me/mae-digits", pretrained=True)
hf      both halves of an MAE: ViTMAEForPreTraining.from_pretrained("me/mae-digits")

The card has the recipe, how pictures become images, and the numbers of the run and of evaluations
of it below --runs, each with its command. --dry-run writes the folder and pushes nothing: read the
card before you push.
"""

import argparse
import sys

from mim.hub.push import NO_LICENCE, check_names
from mim.launch.arguments import Arguments, path, refuse_existing

FORMATS = ("hf", "timm")


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim push", __doc__, refuse)
    parser.add_argument("checkpoint", help="a run folder, a file, timm:<name> or hf:<repository>")
    parser.add_argument(
        "repository", help="<user or organisation>/<name>; made where there is none"
    )
    parser.add_argument("--to", choices=FORMATS, default="timm", help="the default is timm")
    parser.add_argument(
        "--licence",
        "--license",
        help="of the weights, as the hub abbreviates it: apache-2.0, mit, ...",
    )
    parser.add_argument(
        "--private", action="store_true", help="a new repository is seen by its owners alone"
    )
    parser.add_argument("--dry-run", action="store_true", help="write the folder, push nothing")
    parser.add_argument(
        "--out", type=path, help="the folder to write; the default is a new one of runs/pushed"
    )
    parser.add_argument(
        "--runs", type=path, help="where evaluations are looked for; $MIM_RUNS or runs by default"
    )
    parser.add_count("--heads", "attention heads, where nothing in the checkpoint says")
    return parser


def refuse(given: argparse.Namespace) -> None:
    """Refuse wrong names, a folder that is there, and no licence where nobody can be asked."""
    if given.licence is None and not sys.stdin.isatty():
        raise ValueError(NO_LICENCE)
    check_names(given.repository, given.licence)
    if given.out is not None:
        refuse_existing(given.out)
