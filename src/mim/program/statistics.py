"""Look at every picture of a data set: mean, deviation, range, sizes, broken files, duplicates.

    python -m mim statistics photos/
    python -m mim statistics data=csv data.table=labels.csv --images 2000
    python -m mim statistics data=image_folder data.root=scans data.channels=1 'data.range=[0,4095]'

The last lines are a command to train with: the settings that the files ask for, and the mean and
deviation of each channel.
"""

import argparse

from mim.installed import CONFIGS
from mim.launch.arguments import Arguments
from mim.launch.check import nearest


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim statistics", __doc__, refuse)
    parser.add_argument(
        "pictures", nargs="+", help="a folder, or data=<name> and settings of it, data.root=..."
    )
    parser.add_count("--images", "at most so many of each split, evenly spread; the default is all")
    parser.add_count("--paths", "paths to name of each kind; the default is 5", 5)
    return parser


def refuse(given: argparse.Namespace) -> None:
    """Refuse a data set that there is not."""
    names = [each[len("data=") :] for each in given.pictures if each.startswith("data=")]
    there = [file.stem for file in (CONFIGS / "data").glob("*.yaml")]
    for name in names:
        if name not in there:
            raise ValueError(f"data={name} is not a choice; {nearest(name, there)}")
