"""Contract of a model that predicts what a masker hides, and how many values a patch it
predicts.
"""

from collections.abc import Callable, Mapping

from mim.encoder.model import Model
from mim.geometry import Geometry
from mim.masker.any_masker import AnyMasker


class MaskedModel(Model):
    """Model of masked images: a `Batch` -> `Reconstruction`."""

    masker: AnyMasker


TargetDims = Mapping[str, int | None] | Callable[[Geometry], Mapping[str, int | None]]
"""Values per patch of each prediction, by term of the loss, None for the encoder's width; or what
says them for its images.
"""


def dims_of(target_dims: TargetDims, geometry: Geometry) -> Mapping[str, int | None]:
    """Values per patch of each prediction, by term, for images of this geometry."""
    return target_dims(geometry) if callable(target_dims) else target_dims
