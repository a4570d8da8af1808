"""Image format of weights: what they say, what their run's data set says, or ImageNet's."""

from mim.image_format import ImageFormat
from mim.weights.settings import DATA, build
from mim.weights.weights import Weights

IMAGENET = ImageFormat((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of the official MAE, BEiT and SimMIM, and of what says nothing else."""


def image_format(weights: Weights) -> ImageFormat:
    """Image format that weights were trained with.

    Files of runs before they carried it are asked for the config of their data set, which is built
    but not read: class names are not known then.

    Raises:
        ValueError: where that config is none of ours.
    """
    if weights.images is not None:
        return weights.images
    data = (weights.config or {}).get("data")
    if data is None:
        return IMAGENET
    return ImageFormat.of_data(build(data, DATA, weights.origin, "data"), classes=False)
