"""Under DDP a parameter without a gradient stops the run: whatever is trained has one, what has
none is frozen.
"""

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM

SIZES = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
ENCODERS = {
    "vit": lambda: ViT(**SIZES),
    **{
        name: lambda name=name: Beit(**SIZES, positions=name)
        for name in ("shared_bias", "block_bias", "absolute")
    },
    "swin": lambda: Swin(32, 8, 8, [1, 1], [1, 1], 4),
}


@pytest.mark.parametrize(
    ("model", "encoder"), [("mae", "vit"), *(("simmim", name) for name in ENCODERS)]
)
def test_every_parameter_that_is_trained_has_a_gradient(model, encoder, batch_of):
    masker, target_dims = Masker(Random(), FixedRatio(0.5)), {"pixel": 192, "hog": 27}
    if model == "mae":
        model = MAE(
            ENCODERS[encoder](),
            masker,
            lambda **sizes: Decoder(**sizes, width=16, depth=2, heads=2),
            target_dims,
        )
    else:
        model = SimMIM(ENCODERS[encoder](), masker, target_dims)
    predictions = model(batch_of(torch.randn(2, 3, 32, 32))).predictions
    torch.stack([prediction.square().sum() for prediction in predictions.values()]).sum().backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
