"""Image size that a user says of weights of which nothing else tells it."""

from mim.geometry import by, grid_of, pair
from mim.ranges import Size
from mim.weights.architecture import MOST_PREFIX
from mim.weights.build import encoder_config
from mim.weights.grid import said_grid
from mim.weights.weights import Weights


def with_image_size(weights: Weights, image_size: Size | None) -> Weights:
    """Weights that say of which image size they are; as they were for none.

    Raises:
        ValueError: where they say another themselves, or their positions are not of so many
            patches.
    """
    if image_size is None:
        return weights
    config = encoder_config(weights, image_size, weights.heads)
    grid, known = grid_of(pair(image_size), config["patch_size"]), said_grid(weights)
    positions = weights.tensors.get("encoder.pos_embed")
    patches = grid[0] * grid[1]
    surplus = 0 if positions is None else positions.shape[1] - patches
    if known not in (None, grid) or not 0 <= surplus <= MOST_PREFIX:
        has = f"is of {by(known)} patches" if known else f"has {surplus + patches} positions"
        raise ValueError(
            f"{weights.origin} {has}, and an image of {by(image_size)} has {by(grid)} = {patches} "
            "of them; give the image size that it was trained with"
        )
    if weights.config is not None:
        return weights
    return weights._replace(config={"encoder": config})
