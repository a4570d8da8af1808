"""What maskers hide, as a picture and in numbers.

    python -m mim gallery masker=random,block data=cifar10 pictures=8
    python -m mim gallery masker=random,sbm,sbam,am,amt checkpoint=runs/<name>/<date_time>
    python -m mim gallery --config-dir my_configs masker=random,mine

Rows of the picture are images, columns maskers. Settings are those of configs/gallery.yaml, changed
as those of train.py are.
"""

from mim.launch.arguments import Arguments, path


def parser() -> Arguments:
    """What the command line may say."""
    parser = Arguments("python -m mim gallery", __doc__)
    parser.add_argument(
        "settings", nargs="*", help="key=value; masker= takes several, separated by commas"
    )
    parser.add_argument(
        "--config-dir", type=path, help="folder of configs of your own, laid out as configs/ is"
    )
    return parser
