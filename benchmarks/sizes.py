"""An architecture that several contestants share."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """The architecture that all contestants share; encoder and decoder are (width, depth,
    heads).
    """

    image: int
    patch: int
    encoder: tuple[int, int, int]
    decoder: tuple[int, int, int]
