"""Contract of a model that predicts what a masker hides."""

from mim.encoder.model import Model
from mim.masker.any_masker import AnyMasker


class MaskedModel(Model):
    """Model of masked images: a `Batch` -> `Reconstruction`."""

    masker: AnyMasker
