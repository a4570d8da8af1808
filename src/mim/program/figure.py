"""Draw what papers draw, from finished runs and checkpoints; the numbers go beside it as CSV.

ratio             accuracy over the masking ratio, with PIMR and Global PIMR (SBAM)
    python -m mim figure ratio runs/sweeps/<name> --metric linear/top1
epochs            accuracy and loss over the epochs of several runs
    python -m mim figure epochs runs/<name>/<date_time> runs/<other>/<date_time>
attention         what the cls token attends to: checkpoints side by side, or head by head (AMT)
    python -m mim figure attention runs/<name>/<date_time> timm:vit_base_patch16_224.mae --heads
pca               principal components of patch tokens as colours: what looks alike (DINOv2)
    python -m mim figure pca runs/<name>/<date_time> --files bird.jpg dog.jpg
neighbours        nearest pictures of a folder, or of the held-out images, in features
    python -m mim figure neighbours runs/<name>/<date_time> --among photos/ --files bird.jpg
reconstructions   an image under several mask seeds, and where they disagree (EMAE)
    python -m mim figure reconstructions runs/<name>/<date_time> --seeds 0 1 2 --rows 7

`python -m mim figure <name> --help` has the settings of one.
"""

import argparse

from mim.launch.arguments import Arguments, path


def parser() -> Arguments:
    """What the command line may say, figure by figure."""
    whole = Arguments("python -m mim figure", __doc__)
    names = whole.add_subparsers(dest="name", metavar="name", required=True)
    for add in (_ratio, _epochs, _attention, _pca, _neighbours, _reconstructions):
        add(names)
    return whole


def _add(names: "argparse._SubParsersAction", name: str, what: str) -> Arguments:
    parser = names.add_parser(name, help=what, description=f"{what}\n", refuse=_refuse)
    parser.add_argument(
        "--out",
        type=path,
        help="the .png file to write; the default is a new folder of runs/figures",
    )
    return parser


def _refuse(given: argparse.Namespace) -> None:
    """Refuse a file that is no picture."""
    if given.out is not None and given.out.suffix != ".png":
        raise ValueError(
            f"--out={given.out} is no .png file; the numbers go beside it as .csv, e.g. --out "
            f"figures/{given.name}.png"
        )


def _ratio(names: "argparse._SubParsersAction") -> None:
    parser = _add(
        names, "ratio", "accuracy over the masking ratio, with PIMR and Global PIMR (SBAM)"
    )
    _add_runs(
        parser,
        "finished runs of several ratios, or folders that hold them; also what eval.py or "
        "fine-tuning made of them",
    )
    parser.add_argument(
        "--metric",
        help="a number of results.json, e.g. linear/top1; the default is an accuracy that all have",
    )


def _epochs(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "epochs", "accuracy and loss over the epochs of several runs")
    _add_runs(parser, "runs, or folders that hold them")
    parser.add_argument(
        "--metric",
        nargs="+",
        help="columns of metrics.csv, a panel each; the default is an accuracy and train/loss",
    )


def _add_runs(parser: Arguments, what: str) -> None:
    parser.add_argument("runs", nargs="+", type=path, help=what)
    parser.add_argument(
        "--names", nargs="+", help="what the figure calls the series, in their order"
    )


def _attention(names: "argparse._SubParsersAction") -> None:
    what = "what the cls token attends to, of checkpoints side by side, or head by head"
    parser = _add(names, "attention", what)
    _add_checkpoints(parser, count=4)
    parser.add_count("--block", "whose attention, counted from 1; the default is the last")
    parser.add_argument("--heads", action="store_true", help="draw every head, a row a checkpoint")


def _pca(names: "argparse._SubParsersAction") -> None:
    parser = _add(names, "pca", "principal components of the patch tokens of images, as colours")
    _add_checkpoints(parser, count=4)
    parser.add_count("--block", "whose tokens, counted from 1; the default is the last")


def _reconstructions(names: "argparse._SubParsersAction") -> None:
    what = (
        "an image under several mask seeds, as checkpoints reconstruct it, and where they disagree"
    )
    parser = _add(names, "reconstructions", what)
    _add_checkpoints(parser, count=1)
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the masks; the default is 0 1 2"
    )
    parser.add_argument(
        "--ratio",
        type=float,
        default=0.75,
        help="share of patches masked at random; the default is 0.75",
    )
    parser.add_count("--cell", "patches per side of what is masked as one; SimMIM: 2", 1)
    parser.add_argument(
        "--target",
        choices=("normalised", "raw"),
        help="what is predicted, where the checkpoint does not say: standardised patches (MAE) or "
        "pixels as they are (SimMIM)",
    )


def _neighbours(names: "argparse._SubParsersAction") -> None:
    what = "nearest pictures of images, in the features of checkpoints"
    parser = _add(names, "neighbours", what)
    _add_opened(parser)
    parser.add_argument(
        "--among",
        nargs="+",
        default=["data=own"],
        help="pictures that are searched: a folder, files, or data=<name> and settings of it, "
        "data.root=...; the default is data=own, the held-out images of the run's data set",
    )
    parser.add_argument("--files", nargs="+", type=path, help="pictures whose neighbours are drawn")
    parser.add_argument("--rows", nargs="+", type=int, help="of those searched, by their numbers")
    parser.add_count("--images", "of those searched, evenly spread; the default is 4", 4)
    parser.add_count("--count", "neighbours of each; the default is 6", 6)
    parser.add_argument(
        "--pool", default="mean", help="a name of configs/pool; the default is mean"
    )
    parser.add_count("--block", "whose tokens, counted from 1; the default is the last")


def _add_opened(parser: Arguments) -> None:
    parser.add_argument(
        "checkpoints", nargs="+", help="run folders, files, timm:<name> or hf:<repository>"
    )
    parser.add_argument("--names", nargs="+", help="what the figure calls them")
    parser.add_argument(
        "--encoder", help="a class of your own that they are of: my_module.MyEncoder"
    )


def _add_checkpoints(parser: Arguments, count: int) -> None:
    _add_opened(parser)
    parser.add_count("--images", f"held-out images, evenly spread; the default is {count}", count)
    parser.add_argument("--rows", nargs="+", type=int, help="held-out images, by their numbers")
    parser.add_argument("--files", nargs="+", type=path, help="pictures instead")
    parser.add_argument(
        "--data",
        nargs="+",
        help="another data set, or other settings of it: cifar10, or image_folder "
        "root=/my/pictures, or root=/elsewhere",
    )
