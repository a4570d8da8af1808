"""Print papers' tables: published, measured, difference, and the command for each row.

    python -m mim tables amt
    python -m mim tables amt --runs runs            # with what runs measured, and what is missing
    python -m mim tables amt --scale bench --run    # make it, at a size that a CPU can do
    python -m mim tables                            # all of them: docs/tables.md
    python -m mim tables --scale bench              # maskers with targets: docs/which_mask.md

A table is lines of src/mim/paper/<paper>.yaml, or of a yaml of your own, which is given by its
path. A row of parts that there are takes those and a file in configs/experiment/<paper>/.
"""

from mim.launch.arguments import Arguments, path
from mim.paper.grid import grids
from mim.paper.table import names


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim tables", __doc__)
    parser.add_argument(
        "papers",
        nargs="*",
        help=f"{', '.join([*names(), *grids()])}, or a yaml; all of them where none is given",
    )
    parser.add_argument(
        "--runs", type=path, help="folder of runs; with --run $MIM_RUNS or runs by default"
    )
    parser.add_argument(
        "--scale",
        choices=["paper", "bench"],
        default="paper",
        help="bench: as its yaml makes it small",
    )
    parser.add_argument(
        "--run", action="store_true", help="run what is missing, each job in a process of its own"
    )
    parser.add_count("--parallel", "jobs at a time", 1)
    parser.add_argument(
        "--seeds", type=_seeds, default=[0], help="that every number is wanted of, e.g. 0,1,2"
    )
    return parser


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]
