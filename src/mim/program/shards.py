"""Write the pictures of a data set into shards that are fast to read, each resized once.

    python -m mim shards photos/ --size 256 --out photos_256
    python -m mim shards data=csv data.table=labels.csv --size 512 --quality 90 --out shards
    python -m mim train data=webdataset data.root=photos_256

Shards are tar files as WebDataset has them, of training and of held-out pictures, with an index by
which each picture is read in place and a stopped run goes on exactly. Pictures whose short side is
no more than --size are copied as they are. The same command goes on where it was stopped. A picture
that cannot be read is left out, and said.
"""

from mim.launch.arguments import Arguments, path


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim shards", __doc__)
    parser.add_argument(
        "pictures", nargs="+", help="a folder, or data=<name> and settings of it, data.root=..."
    )
    parser.add_count(
        "--size",
        "pixels of the short side; larger pictures are resized",
        least=8,
        most=8192,
        required=True,
    )
    parser.add_argument("--out", type=path, required=True, help="folder of the shards")
    parser.add_count("--quality", "of JPEG; the default is 95", 95, most=100)
    parser.add_argument(
        "--format",
        choices=("jpg", "png"),
        default="jpg",
        help="png loses nothing; the default is jpg",
    )
    parser.add_count("--per-shard", "pictures; the default is 1000", 1000, most=10**6)
    return parser
