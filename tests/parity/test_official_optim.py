"""Learning rates and decay groups against facebookresearch/mae."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.optim.schedule import Constant, WarmupCosine
from mim.part import Progress
from mim.target.pixel import Pixel
from mim.train.pretrain import Pretrain
from mim.weights.official_mae import from_official
from tests.stored import numbered


@pytest.mark.parametrize("index", numbered("lr_sched"))
def test_learning_rates_are_the_official_ones(golden, index):
    reference = golden("lr_sched")
    m = reference.meta["configs"][index]
    schedule = WarmupCosine(m["warmup_epochs"], m["min_lr"])
    epochs, rates = reference[f"c{index}.epoch"].tolist(), reference[f"c{index}.lr"][:, 0].tolist()
    for epoch, rate in zip(epochs, rates, strict=True):
        assert m["lr"] * schedule(Progress(epoch, m["epochs"], 1), m["lr"]) == pytest.approx(
            rate, rel=1e-9, abs=1e-15
        )


def depth(names, prefix):
    return 1 + max(int(name.split(".")[1]) for name in names if name.startswith(f"{prefix}."))


def test_decay_groups_are_the_official_ones(golden):
    reference = golden("param_groups")
    blocks, decoder_blocks = (
        depth(reference.names("pretrain.names"), prefix) for prefix in ("blocks", "decoder_blocks")
    )
    encoder = ViT(image_size=32, patch_size=16, width=16, depth=blocks, heads=2)
    masker = Masker(Random(), FixedRatio(0.75))
    decoder = partial(Decoder, width=8, depth=decoder_blocks, heads=2)
    task = Pretrain(
        model=partial(MAE, encoder=encoder, masker=masker, decoder=decoder),
        loss=Term(Pixel(Geometry.of(16, 16))),
        optimizer=torch.optim.AdamW,
        schedule=Constant(),
        base_lr=1e-3,
        weight_decay=reference.meta["weight_decay"],
    )
    task._trainer = SimpleNamespace(
        datamodule=SimpleNamespace(batch_size=4, steps_per_epoch=1),
        world_size=1,
        accumulate_grad_batches=1,
        max_epochs=1,
        max_steps=-1,
    )
    optimizer = task.configure_optimizers()["optimizer"]
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    ours = {name: decay[id(p)] for name, p in task.model.named_parameters() if id(p) in decay}
    names, decays = reference.names("pretrain.names"), reference["pretrain.weight_decay"].tolist()
    assert ours == {from_official(name): value for name, value in zip(names, decays, strict=True)}
