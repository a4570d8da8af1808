"""How many values per patch a model predicts, which a loss says once it knows the geometry."""

from collections.abc import Callable, Mapping

from mim.geometry import Geometry

TargetDims = Mapping[str, int | None] | Callable[[Geometry], Mapping[str, int | None]]
"""Values per patch of each prediction, by term of the loss, None for the encoder's width; or what says them for its images."""


def dims_of(target_dims: TargetDims, geometry: Geometry) -> Mapping[str, int | None]:
    """Values per patch of each prediction, by term, for images of this geometry."""
    return target_dims(geometry) if callable(target_dims) else target_dims
