"""Small models and checkpoints of theirs in every format."""

from functools import partial
from inspect import signature

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM

VIT = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 2, "heads": 2}


def varied(model):
    """Every tensor with numbers of its own, so that none can be swapped or left out unseen."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def build_mae():
    def build(target_dims=None, decoder=Decoder, **changes) -> MAE:
        torch.manual_seed(0)
        encoder = ViT(**(VIT | changes))
        target_dims = target_dims or {"pixel": encoder.geometry.values_per_patch}
        masker = Masker(Random(), FixedRatio(0.75))
        return varied(
            MAE(encoder, masker, partial(decoder, width=8, depth=2, heads=2), target_dims)
        )

    return build


@pytest.fixture
def build_simmim():
    def build(encoder=Beit, target_dims=None, **changes) -> SimMIM:
        torch.manual_seed(0)
        masker = Masker(Random(), FixedRatio(0.5, "mask_up"))
        return varied(SimMIM(encoder(**(VIT | changes)), masker, target_dims or {"pixel": 48}))

    return build


@pytest.fixture
def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def save_run(tmp_path):
    """Write what a run writes: a folder with `checkpoints/last.ckpt`."""

    def save(model, folder="run", /, **config):
        path = tmp_path / folder / "checkpoints" / "last.ckpt"
        path.parent.mkdir(parents=True)
        names = {f"model.{name}": value for name, value in model.state_dict().items()}
        encoder = {
            "_target_": f"{type(model.encoder).__module__}.{type(model.encoder).__name__}",
            **{
                name: value
                for name, value in VIT.items()
                if name in signature(type(model.encoder)).parameters
            },
            **config.pop("encoder", {}),
        }
        torch.save(
            {"state_dict": names, "config": {"encoder": encoder, **config}, "epoch": 3}, path
        )
        return path.parents[1]

    return save
