"""Masked image modelling, composed: masker x model x loss x pool x data.

    import mim
    encoder = mim.load("timm:vit_small_patch16_224.dino")  # or a run folder, a file, hf:<name>
    features = mim.features(encoder, "photos/", pool="mean")  # (N, D)

Nothing is imported before it is used.
"""

from importlib import import_module
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mim.batch import Batch
    from mim.command.from_python import compose, evaluate, train
    from mim.door.features import features
    from mim.door.load import load
    from mim.encoder.beit import Beit
    from mim.encoder.swin import Swin
    from mim.encoder.vit import ViT
    from mim.geometry import Geometry
    from mim.masker.masker import Masker
    from mim.masker.partition.fixed_ratio import FixedRatio
    from mim.masker.score.random import Random
    from mim.model.classifier import Classifier
    from mim.model.decoder import Decoder
    from mim.model.mae import MAE
    from mim.model.simmim import SimMIM

__all__ = [
    "MAE",
    "Batch",
    "Beit",
    "Classifier",
    "Decoder",
    "FixedRatio",
    "Geometry",
    "Masker",
    "Random",
    "SimMIM",
    "Swin",
    "ViT",
    "compose",
    "evaluate",
    "features",
    "load",
    "train",
]

HOMES = {
    "Batch": "mim.batch",
    "Beit": "mim.encoder.beit",
    "Classifier": "mim.model.classifier",
    "Decoder": "mim.model.decoder",
    "FixedRatio": "mim.masker.partition.fixed_ratio",
    "Geometry": "mim.geometry",
    "MAE": "mim.model.mae",
    "Masker": "mim.masker.masker",
    "Random": "mim.masker.score.random",
    "SimMIM": "mim.model.simmim",
    "Swin": "mim.encoder.swin",
    "ViT": "mim.encoder.vit",
    "compose": "mim.command.from_python",
    "evaluate": "mim.command.from_python",
    "features": "mim.door.features",
    "load": "mim.door.load",
    "train": "mim.command.from_python",
}

ROOMS = ("evaluate", "train")
"""Names of packages as well."""


def __getattr__(name: str) -> object:
    """A public name, imported when it is first asked for (PEP 562)."""
    if name not in HOMES:
        raise AttributeError(
            f"module 'mim' has no attribute {name!r}; it offers {', '.join(__all__)}"
        )
    if name in ROOMS:
        # a module that can be called, whoever asks for it first
        return import_module(f"{__name__}.{name}")
    value = globals()[name] = resolve_name(f"{HOMES[name]}:{name}")
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
