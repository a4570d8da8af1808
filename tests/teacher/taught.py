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
    "DINO": f"model=dino {IBOT}",
    "I-JEPA": "model=ijepa",
    "MoCo v3": "model=moco_v3 model.head.hidden=16 model.predictor.hidden=16",
    "MSN": "model=msn model.head.hidden=16 loss.term.match.prototypes=32",
    "CAE": "model=cae encoder=beit_pico target@loss.term.codes.target=pixel",  # without its file
}
"""By name, what `train.py` is given beside the sizes."""
SIZES = "encoder.depth=2 encoder.width=24 encoder.heads=2"
OF_DECODER = "model.decoder.width=24 model.decoder.heads=2 model.decoder.depth=1"
OWN_SIZES = {
    "data2vec": "loss.target.blocks=2",
    "features by MAE": "loss.target.blocks=2 model.decoder.depth=1",
    "BootMAE": "model.decoder.pixel.heads=2 model.decoder.feature.heads=2",
    "CMAE": OF_DECODER,
    "I-JEPA": OF_DECODER,
    "CAE": "loss.term.codes.error=l2 model.regressor.depth=1 model.decoder.depth=1 "
    "teacher.late=true",
}


def taught(name: str) -> str:
    """What trains with a teacher by this name."""
    return " ".join(["train.py", TAUGHT[name], SIZES, OWN_SIZES.get(name, "")]).strip()


COLOURS = "data.augment.jittered=0 data.augment.grey=0"
VIEWS = f"{COLOURS} data.augment.blur=[0,0,0] data.augment.solarize=[0,0,0]"
SMALL = f"{VIEWS} data.augment.local_crops=1 data.augment.local_size=16"
AUGMENTED = {
    "CMAE": "augment@data.augment=shifted_pair data.augment.margin=4 data.augment.shift=4",
    "iBOT": f"augment@data.augment=multi_crop {SMALL}",
    "DINO": f"augment@data.augment=multi_crop {SMALL}",
    "MSN": f"augment@data.augment=multi_crop_msn +encoder.positions=learned {SMALL}",
    "MoCo v3": f"augment@data.augment=multi_crop_moco_v3 {VIEWS}",
}
"""Views of those that compare some."""


def run_of(name: str) -> list[str]:
    """What `train.py` is given to train so on pictures."""
    return f"{taught(name)} {AUGMENTED.get(name, '')}".split()[1:]


def two_views(count: int = 4) -> Batch:
    """Two views of each image, for those that look at one the first."""
    batch = Batch.of(torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    return batch._replace(views=batch.views * 2)
