"""Any number of channels and any shape: models, encoders, targets, maskers, pools and statistics on
tiny images.
"""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from mim.analysis.attention_pass import measure
from mim.batch import Batch
from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_attention
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.geometry import Geometry, by, check_heads, pair
from mim.loss.consistency import Consistency
from mim.loss.term import Term
from mim.loss.weighted_sum import WeightedSum
from mim.masker.attention_store import AttentionStore, attention_weights
from mim.masker.masker import Masker
from mim.masker.partition.adaptive_ratio import AdaptiveRatio
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.partition.random_ratio import RandomRatio
from mim.masker.partition.throw_middle import ThrowMiddle
from mim.masker.partition.thrown_parts import ThrownParts
from mim.masker.score.attention import Attention
from mim.masker.score.attmask import AttMask
from mim.masker.score.block import Block
from mim.masker.score.mst import MST
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM
from mim.pool.abmilp import AbMILP
from mim.pool.attentive import Attentive, ReleasedAttentive
from mim.pool.by_attention import CentreAttention, LowestEntropy, MeanAttention
from mim.pool.centre_patches import CentrePatches
from mim.pool.oracle import Oracle
from mim.pool.pool import fitted, width_of
from mim.pool.simple import Cls, ClsMean, Max, Mean
from mim.pool.simpool import SimPool
from mim.target.frequency import Frequency
from mim.target.hog import HOG
from mim.target.pixel import Pixel
from mim.target.target import Paintable
from mim.tokens import patchify, take_patches, unpatchify

# channels, image size, patch size: grids of 4 x 8, 8 x 4 and 4 x 4 patches
GEOMETRIES = [
    (1, (32, 64), 8),
    (3, (64, 32), 8),
    (5, (32, 64), 8),
    (13, (32, 32), 8),
    (4, (32, 64), (8, 16)),
    (2, (64, 32), (16, 4)),
]
every_geometry = pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
TARGETS = {
    "pixel": Pixel,
    "raw": partial(Pixel, normalise=False),
    "hog": HOG,
    "frequency": Frequency,
    "low": partial(Frequency, keep=2),
}
ENCODERS = {
    "vit": lambda channels, size, patch: ViT(size, patch, 16, 2, 2, channels=channels),
    "beit": lambda channels, size, patch: Beit(size, patch, 16, 2, 2, channels=channels),
    "beit_absolute": lambda channels, size, patch: Beit(
        size, patch, 16, 2, 2, "absolute", channels=channels
    ),
    "swin": lambda channels, size, patch: Swin(
        size, patch, 8, [1, 1], [2, 2], 4, channels=channels
    ),
}
MODELS = {
    "mae": lambda encoder, masker, dims: MAE(
        encoder, masker, partial(Decoder, width=16, depth=1, heads=2), dims
    ),
    "simmim": SimMIM,
}
NETWORKS = [
    ("mae", "vit"),
    ("simmim", "vit"),
    ("mae", "beit"),
    *(("simmim", each) for each in ENCODERS if each != "vit"),
]
CASES = [
    (geometry, network)
    for geometry, network in product(GEOMETRIES, NETWORKS)
    if network[1] != "swin" or isinstance(geometry[2], int)  # its patches are squares
]
IN_TURN = [(*case, list(TARGETS)[(i + j) % 5]) for i, case in enumerate(CASES) for j in (0, 2)]


def images(geometry, count=2):
    channels, size, _ = geometry
    return torch.randn(count, channels, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("geometry", "network", "target"), IN_TURN, ids=str)
def test_every_target_is_learned_by_every_model(geometry, network, target):
    torch.manual_seed(0)
    loss = WeightedSum.of_one(Term(TARGETS[target]))
    model = MODELS[network[0]](
        ENCODERS[network[1]](*geometry), Masker(Random(), FixedRatio(0.5)), loss.fit
    )
    optimizer, batch, values = (
        torch.optim.SGD(model.parameters(), lr=1e-3),
        Batch.of(images(geometry)),
        [],
    )
    for _ in range(2):
        made = model(batch)
        values.append(loss(made.predictions, batch.image, made.split))
        optimizer.zero_grad()
        values[-1].backward()
        # of every channel
        assert model.encoder.patch_embed.proj.weight.grad.abs().amax((0, 2, 3)).min() > 0
        optimizer.step()
    assert values[1] < values[0]


@pytest.mark.parametrize("target", ["pixel", "raw", "frequency"])
@every_geometry
def test_what_is_predicted_perfectly_is_the_image(geometry, target):
    known = Geometry.of(geometry[1], geometry[2], geometry[0])
    built, image = TARGETS[target](known), images(geometry)
    assert isinstance(built, Paintable)
    everything = torch.arange(known.patches).expand(2, 1, -1)
    split = Masker(Random(), FixedRatio(0.5))(Batch.of(image), known.grid)._replace(
        masked=everything
    )
    pixels = built.to_pixels(built(image, split), image, everything)[:, 0]
    assert torch.allclose(unpatchify(pixels, known.patch_size, known.grid), image, atol=1e-4)


@every_geometry
def test_patches_tile_the_image_row_by_row(geometry):
    channels, (height, width), patch = geometry
    image, (tall, wide) = images(geometry), pair(patch)
    patches = patchify(image, patch)
    second_row = width // wide  # the first patch of the second row
    tile = image[:, :, tall : 2 * tall, :wide].permute(0, 2, 3, 1).flatten(1)
    assert torch.equal(patches[:, second_row], tile)
    assert torch.equal(
        take_patches(image, torch.tensor([[[second_row]]] * 2), patch)[:, 0, 0], tile
    )
    assert patches.shape == (2, (height // tall) * (width // wide), tall * wide * channels)
    assert torch.equal(unpatchify(patches, patch, (height // tall, width // wide)), image)


MASKERS = {
    "random": lambda store: Masker(Random(), FixedRatio(0.75)),
    "block": lambda store: Masker(Block(0.4), FixedRatio(0.4)),
    "sbm": lambda store: Masker(Salience(), FixedRatio(0.75)),
    "sbam": lambda store: Masker(Salience(), AdaptiveRatio(0.6, 0.2)),
    "am": lambda store: Masker(Attention(store), FixedRatio(0.75)),
    "amt": lambda store: Masker(Attention(store), ThrowMiddle(0.45, 0.4)),
    "attmask": lambda store: Masker(AttMask(store), RandomRatio()),
    "mst": lambda store: Masker(MST(store), ThrownParts(2, 0.4)),
    "emae": lambda store: Masker(Random(), ParallelParts(4)),
    "cells": lambda store: Masker(Salience(), FixedRatio(0.5), 2),
}


@pytest.mark.parametrize("masker", MASKERS)
@every_geometry
def test_every_masker_hides_patches_of_the_grid(geometry, masker):
    torch.manual_seed(0)
    encoder, batch = ENCODERS["vit"](*geometry), Batch.of(images(geometry))
    store = AttentionStore()
    store.maps = (
        attention_weights(cls_attention(encoder, batch.image))
        .unflatten(1, encoder.geometry.grid)
        .half()
    )
    loss = WeightedSum.of_one(Term(Pixel))
    network = MODELS["mae"](encoder, MASKERS[masker](store), loss.fit)
    made = network(batch)
    loss(made.predictions, batch.image, made.split).backward()
    rows, columns = encoder.geometry.grid
    for split in zip(
        made.split.visible.flatten(0, 1), made.split.masked.flatten(0, 1), strict=True
    ):
        numbers = torch.cat(split)
        assert numbers.min() >= 0
        assert numbers.max() < rows * columns
    assert encoder.patch_embed.proj.weight.grad.isfinite().all()


def test_a_stored_map_is_cut_and_mirrored_as_an_oblong_image_is():
    """The patch that is attended to stays the one that is hidden, wherever the crop puts it."""
    store = AttentionStore()
    store.maps = torch.zeros(1, 4, 8).half()
    store.maps[0, 1, 6] = 1.0  # row 1 of 4, column 6 of 8
    whole = Batch.of(torch.zeros(1, 5, 32, 64))
    box = torch.tensor([[0.5, 0.0, 1.0, 1.0]])
    right = whole.views[0]._replace(box=box)
    mirrored = right._replace(flip=torch.tensor([True]))
    assert store(whole, (4, 8)).argmax() == 1 * 8 + 6
    assert store(whole._replace(views=(right,)), (4, 4)).argmax() == 1 * 4 + 2
    assert store(whole._replace(views=(mirrored,)), (4, 4)).argmax() == 1 * 4 + 1


def test_blocks_are_laid_on_long_grids():
    split = Masker(Block(0.4), FixedRatio(0.4))(Batch.of(torch.zeros(64, 1, 32, 128)), (4, 16))
    often = split.masked.flatten().bincount(minlength=64).float()
    assert often.min() > 0  # every place is hidden now and then


POOLS = {
    "cls": Cls(),
    "mean": Mean(),
    "max": Max(),
    "cls_mean": ClsMean(),
    "abmilp": AbMILP,
    "attentive": partial(Attentive, heads=2),
    "attentive_cae": partial(ReleasedAttentive, heads=2),
    "simpool": SimPool,
    "cp2": partial(CentrePatches, side=2),
    "ca2": partial(CentreAttention, side=2),
    "mean_attention": MeanAttention(),
    "lowest_entropy": LowestEntropy(),
}


@pytest.mark.parametrize("pool", POOLS)
@every_geometry
def test_every_pool_makes_one_vector(geometry, pool):
    encoder = ENCODERS["vit"](*geometry)
    built = fitted(POOLS[pool], encoder)
    assert width_of(built, encoder) == (32 if pool == "cls_mean" else 16)


@every_geometry
def test_an_oracle_of_other_channels_is_asked_on_its_own_grid(geometry):
    oracle = ENCODERS["vit"](geometry[0], (16, 16), 8)
    encoder = ENCODERS["vit"](*geometry)
    built = fitted(partial(Oracle, encoder=oracle), encoder)
    assert built.attention(images(geometry)).shape == (2, encoder.geometry.patches)


@pytest.mark.parametrize("encoder", ["vit", "beit"])
@every_geometry
def test_attention_is_measured_in_every_block(geometry, encoder):
    built = ENCODERS[encoder](*geometry)
    stats = measure(built, [Batch.of(images(geometry))], lambda batch: batch, torch.no_grad)
    assert stats.head.count == 2
    assert all(len(value["mean"]) == 2 for value in stats.summary().values())


def test_parts_of_an_oblong_image_agree():
    loss = WeightedSum(
        {"pixel": Term(Pixel), "agreement": Consistency(of="pixel")},
        {"pixel": 1.0, "agreement": 1.0},
    )
    geometry = GEOMETRIES[2]
    model = MODELS["mae"](ENCODERS["vit"](*geometry), Masker(Random(), ParallelParts(4)), loss.fit)
    batch = Batch.of(images(geometry))
    made = model(batch)
    terms = loss.terms(made.predictions, batch.image, made.split)
    assert terms["agreement"] > 0
    assert loss.target_dims == {"pixel": 5 * 64}


def test_a_geometry_says_its_sizes_and_refuses_what_does_not_fit():
    geometry = Geometry.of((32, 64), (8, 16), 5)
    assert geometry == Geometry(5, (32, 64), (8, 16), (4, 4))
    assert (geometry.patches, geometry.values_per_patch, by(geometry.patch_size)) == (
        16,
        640,
        "8 x 16",
    )
    with pytest.raises(
        ValueError,
        match=r"image size 32 x 64 is not divisible by patch_size=\[8,5\]; patch sizes that",
    ):
        Geometry.of((32, 64), (8, 5))
    with pytest.raises(
        ValueError,
        match=r"HOG cannot cut a patch of 8 x 6 pixels into 4 x 4 cells; target.cells may be 1, 2",
    ):
        HOG(Geometry.of((16, 18), (8, 6)), cells=4)
    with pytest.raises(
        ValueError, match="keep=7; a patch of 8 x 6 pixels has 1 to 6 frequencies per axis"
    ):
        Frequency(Geometry.of((16, 18), (8, 6)), keep=7)


def test_a_target_that_waits_is_built_once_for_the_encoder():
    term = Term(partial(HOG, cells=1))
    assert term.name == "hog"
    assert isinstance(term.target, partial)
    term.fit(Geometry.of(16, 8, 5))
    first = term.target
    term.fit(Geometry.of(16, 8, 5))
    assert isinstance(first, nn.Module)
    assert term.target is first
    assert term.target_dim == 45


def test_heads_that_do_not_divide_a_width_are_refused_with_the_nearest_that_do():
    check_heads("ViT", 768, 12)
    said = (
        "ViT got width=768, heads=10; the heads must divide the width, e.g. encoder.heads=8 or 12"
    )
    with pytest.raises(ValueError, match=f"^{said}$"):
        check_heads("ViT", 768, 10, "encoder.heads")
