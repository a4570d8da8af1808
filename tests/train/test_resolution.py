"""Images that are small at first: the same task on a smaller grid."""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from torch.nn.functional import interpolate

import mim
from mim.batch import Batch
from mim.encoder.positions import resize_positions
from mim.geometry import Geometry
from mim.model.decoder import Decoder
from mim.model.query_decoder import QueryDecoder
from mim.optim.stairs import Stairs
from mim.part import Progress
from mim.train.resolution import Resolution

SMALL = [
    "encoder=vit_pico",
    "encoder.patch_size=4",
    "data.image_size=32",
    "+encoder.resize_offset=0",
]
GROWING = "resolution={_target_: mim.train.resolution.Resolution, share: 0.5, multiple: 8}"


def task(*settings: str):
    torch.manual_seed(0)
    return instantiate(mim.compose("hydra.run.dir=unused", *SMALL, *settings).task)


def images(side: int = 32) -> Batch:
    return Batch.of(torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1)))


def test_sides_are_those_of_the_step_and_nothing_is_remembered():
    resolution = Resolution(Stairs([160 / 224, 192 / 224, 1.0], [0.0, 0.25, 0.5]), 32)
    sides = {}
    for step in (0, 249, 250, 499, 500, 999, 10):  # in any order, as a resumed run asks
        resolution.begin_step(Progress(step, 1000, 10))
        sides[step] = resolution.side(224)
    assert sides == {0: 160, 10: 160, 249: 160, 250: 192, 499: 192, 500: 224, 999: 224}
    assert not resolution.state_dict()


def test_images_are_shrunk_by_an_antialiased_bicubic_and_whole_ones_are_left_alone():
    batch = images()
    small = Resolution(0.5, 8)(batch)
    expected = interpolate(batch.image, (16, 16), mode="bicubic", antialias=True)
    torch.testing.assert_close(small.image, expected, rtol=0, atol=0)
    assert Resolution(1.0, 8)(batch).image is batch.image
    assert torch.equal(small.key, batch.key)
    assert torch.equal(small.views[0].box, batch.views[0].box)


def test_a_side_is_never_nothing():
    assert Resolution(0.01, 8).side(32) == 8


@pytest.mark.parametrize("decoder", [[], ["model/decoder=cross"]], ids=["mae", "crossmae"])
def test_a_step_on_small_images_is_a_step_of_a_model_for_small_images(decoder):
    """With fixed positions resized, which a smaller model would have as they are."""
    growing = task(GROWING, *decoder)
    batch = images()
    small = growing.resolution(batch)
    loss, _, made = growing.objective(small)
    assert made.split.visible.shape[-1] == 4
    assert made.split.masked.shape[-1] == 12
    own = task(*decoder, "data.image_size=16")
    weights = {
        name: value
        for name, value in growing.model.state_dict().items()
        if not name.endswith("pos_embed")
    }
    own.model.load_state_dict(weights, strict=False)
    for module in (own.model.encoder, own.model.decoder):
        full = dict(growing.model.named_modules())[
            "encoder" if module is own.model.encoder else "decoder"
        ].pos_embed
        resized = torch.cat([full[:, :1], resize_positions(full[:, 1:], (8, 8), (4, 4))], dim=1)
        module.pos_embed.data.copy_(resized)
    expected, _, _ = own.objective(small)
    torch.testing.assert_close(loss, expected)


def test_training_shrinks_images_and_judging_does_not(monkeypatch):
    growing = task(GROWING)
    monkeypatch.setattr(growing, "log_dict", lambda *arguments, **named: None)
    seen = []
    growing.model.register_forward_pre_hook(lambda _, given: seen.append(given[0].image.shape[-1]))
    growing.training_step(images(), 0).backward()
    growing.objective(images())
    assert seen == [16, 32]
    assert growing.model.encoder.patch_embed.proj.weight.grad.abs().sum() > 0
    assert growing.resolution in growing.parts


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model=simmim"], "goes with model=mae"),
        (
            ["target@loss.target=features", "loss.target.blocks=2", "teacher=ema"],
            "goes with model=mae",
        ),
        (
            ["encoder.patch_size=16"],
            "does not divide images of 32 x 32 pixels into whole patches of 16 x 16",
        ),
    ],
    ids=["simmim", "teacher", "patches"],
)
def test_what_cannot_be_small_is_refused(settings, words):
    with pytest.raises(Exception, match=words):
        task(GROWING, *settings)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_share_of_nothing_or_of_more_is_refused(share):
    with pytest.raises(ValueError, match=r"should be more than 0 and at most 1"):
        Resolution(share, 8)
    with pytest.raises(ValueError, match="does not divide images of 36 x 32"):
        Resolution(0.5, 8).check_geometry(Geometry.of((36, 32), 4))
    with pytest.raises(ValueError, match=r"leaves images of 32 x 32 pixels as they are; .*=8$"):
        Resolution(0.5, 32).check_geometry(Geometry.of(32, 8))


@pytest.mark.parametrize(
    "build", [Decoder, partial(QueryDecoder, encoder_depth=2)], ids=["decoder", "query decoder"]
)
def test_a_decoder_without_another_grid_is_what_it_was(build):
    torch.manual_seed(0)
    decoder = build(encoder_width=16, grid=(4, 4), target_dim=3, width=16, depth=2, heads=2)
    assert decoder.grid == (4, 4)
    split = task("data.image_size=16").model.masker(images(16), (4, 4))
    shape = (3, 3, 5, 16) if build is not Decoder else (3, 5, 16)
    latent = torch.randn(shape)
    torch.testing.assert_close(
        decoder(latent, split), decoder(latent, split, (4, 4)), rtol=0, atol=0
    )
