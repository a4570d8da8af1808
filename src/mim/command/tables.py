"""Print papers' tables: published, measured, difference, and the command for each row.

    python -m mim tables amt
    python -m mim tables                 # all of them: docs/tables.md

A table is lines of src/mim/paper/<paper>.yaml; a row of parts that there are takes those and a file in configs/experiment/<paper>/.
"""

import argparse
from pathlib import Path

from mim.launch.check import nearest
from mim.paper.deviations import deviations
from mim.paper.markdown import markdown
from mim.paper.table import HERE, names, read

ALL = """# Papers' tables

Published numbers are the authors'; measured ones are ours, with what made them. Every command composes and passes the check that a
run makes first; one without a measured number has not been run to its end here. `<its run>` is the folder that pre-training left.
A number that nothing makes here yet stands with the reason instead of a command.
Made by `make tables` from `src/mim/paper/`.

"""


def run(arguments: list[str], configs: Path) -> None:
    """Print the tables as Markdown."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m mim tables", description=__doc__, formatter_class=raw)
    parser.add_argument("papers", nargs="*", help=f"{', '.join(names())}; all of them where none is given")
    asked = parser.parse_args(arguments).papers
    strange = [name for name in asked if name not in names()]
    if strange:
        raise ValueError(f"there are no tables of {strange[0]}; {nearest(strange[0], names())}")
    tables = "\n\n".join(markdown(read(HERE / f"{name}.yaml"), deviations()) for name in asked or names())
    print(tables if asked else ALL + tables)
