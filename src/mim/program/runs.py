"""List the runs of a folder: their state, their best numbers, and in what they differ.

    python -m mim runs
    python -m mim runs runs/sweeps/<name> --html runs.html
    python -m mim runs --name mae_vit_pico_random_digits

A run that has written nothing for a quarter of an hour, and left no results, is called lost. --html
writes one page with the same table, the curves and the newest pictures, which needs no network and
no other file.
"""

import argparse

from mim.launch.arguments import Arguments, path


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim runs", __doc__, refuse)
    parser.add_argument(
        "folder", nargs="?", type=path, help="of runs, however deep; $MIM_RUNS or runs by default"
    )
    parser.add_argument("--name", help="only those whose folder has this in it")
    parser.add_argument("--html", type=path, help="the page to write; what was there is replaced")
    return parser


def refuse(given: argparse.Namespace) -> None:
    """Refuse a page that is none."""
    if given.html and given.html.suffix != ".html":
        raise ValueError(f"--html={given.html} is no .html file, e.g. --html runs.html")
