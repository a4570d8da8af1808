"""Commands that train with a teacher at a size that takes no time, and a batch for all of them."""

import torch

from mim.batch import Batch

IBOT = (
    "+encoder.positions=learned loss.term.cls.out=16 model.head.hidden=16 model.head.bottleneck=8"
)
TAUGHT = {
    "data2vec": "model=simmim masker=random loss=features teacher=ema",
    "features by MAE": "loss=features teacher=ema",
    "BootMAE": "model=bootmae model.decoder.pixel.width=24 model.decoder.feature.width=24",
    "CMAE": "model=cmae model.projector.hidden=16 model.predictor.hidden=16",
    "iBOT": f"model=ibot {IBOT} loss.term.patch.centre_momentum=0.8",
}
"""By name, what `train.py` is given beside the sizes."""
SIZES = "encoder.depth=2 encoder.width=24 encoder.heads=2"
OWN_SIZES = {
    "data2vec": "loss.target.blocks=2",
    "features by MAE": "loss.target.blocks=2 model.decoder.depth=1",
    "BootMAE": "model.decoder.pixel.heads=2 model.decoder.feature.heads=2",
    "CMAE": "model.decoder.width=24 model.decoder.heads=2 model.decoder.depth=1",
    "iBOT": "",
}


def taught(name: str) -> str:
    """What trains with a teacher by this name."""
    return " ".join(["train.py", TAUGHT[name], SIZES, OWN_SIZES[name]]).strip()


def two_views(count: int = 4) -> Batch:
    """Two views of each image, for those that look at one the first."""
    batch = Batch.of(torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return batch._replace(views=batch.views * 2)
