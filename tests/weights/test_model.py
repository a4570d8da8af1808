"""Whole models out of files: they predict what they predicted, and nothing else is opened."""

from functools import partial

import pytest
import torch

from mim.encoder.beit import Beit
from mim.geometry import Geometry
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.model.query_decoder import QueryDecoder
from mim.target.frequency import Frequency
from mim.target.pixel import Pixel
from mim.weights.model import open_model, open_painter
from mim.weights.official_mae import to_official
from mim.weights.read import read_weights

DECODER = {"decoder": {"heads": 2}}
PIXEL = {"_target_": "mim.loss.term.Pixel", "patch_size": 4, "normalise": False}
FREQUENCY = {"_target_": "mim.loss.term.Frequency", "patch_size": 4, "keep": 2, "normalise": True}


@pytest.fixture
def predictions(images, batch_of):
    """What a model predicts with half of the patches masked at random."""

    def predict(model):
        with torch.no_grad():
            return model(batch_of(images))

    return predict


def masker():
    return Masker(Random(), FixedRatio(0.5))


def test_a_run_opens_as_the_model_that_it_trained(build_mae, save_run, predictions):
    model = build_mae()
    opened = open_model(read_weights(save_run(model, model=DECODER)), masker())
    assert not opened.training
    model.masker = masker()
    assert torch.equal(predictions(opened).prediction, predictions(model).prediction)


@pytest.mark.parametrize(("blocks", "together"), [(None, False), ([0, 1], True)])
def test_a_decoder_that_looks_at_blocks_opens_too(
    build_mae, save_run, predictions, blocks, together
):
    depth = len(build_mae().encoder.blocks)
    model = build_mae(
        decoder=partial(QueryDecoder, encoder_depth=depth, blocks=blocks, self_attention=together)
    )
    opened = open_model(
        read_weights(save_run(model, model={"decoder": {"heads": 2, "blocks": blocks}})), masker()
    )
    model.masker = masker()
    assert torch.equal(predictions(opened).prediction, predictions(model).prediction)


def test_a_simmim_opens_too(build_simmim, save_run, predictions):
    model = build_simmim(Beit)
    opened = open_model(read_weights(save_run(model)), masker())
    model.masker = masker()
    assert torch.equal(predictions(opened).prediction, predictions(model).prediction)


TERM = {"_target_": "mim.loss.term.Term", "error": "l2"}
TERMS = {
    "hog": TERM | {"target": {"_target_": "mim.target.hog.HOG"}},
    "pixel": TERM | {"target": PIXEL | {"_target_": "mim.target.pixel.Pixel"}},
}


@pytest.mark.parametrize(
    "terms", [TERMS, {"pixel": TERMS["pixel"], "hog": TERMS["hog"]}, {"a": PIXEL, "b": PIXEL}]
)
@pytest.mark.parametrize("kind", ["mae", "simmim"])
def test_of_several_decoders_the_first_that_predicts_pixels_opens(
    build_mae, build_simmim, save_run, predictions, kind, terms
):
    target_dims = {name: 27 if name == "hog" else 48 for name in terms}
    model = build_mae(target_dims) if kind == "mae" else build_simmim(target_dims=target_dims)
    weights = read_weights(save_run(model, model=DECODER, loss={"term": terms}))
    opened, model.masker = open_model(weights, masker()), masker()
    shown = "pixel" if "pixel" in terms else "a"
    assert torch.equal(predictions(opened).prediction, predictions(model).predictions[shown])
    assert open_painter(weights, Geometry.of(4, 4)).dim == 48


def test_an_official_file_with_both_halves_opens(build_mae, tmp_path, predictions):
    model = build_mae(width=192, heads=3)
    file = tmp_path / "mae_visualize.pth"
    torch.save(
        {"model": {to_official(name): value for name, value in model.state_dict().items()}}, file
    )
    weights = read_weights(file)
    with pytest.raises(
        ValueError, match="attention heads of a transformer 8 wide is not in its tensors"
    ):
        open_model(weights, masker())
    model.masker = masker()
    opened = open_model(weights._replace(decoder_heads=2), masker())
    assert torch.equal(predictions(opened).prediction, predictions(model).prediction)


def test_positions_of_both_halves_are_carried_to_another_image_size(build_mae, save_run):
    opened = open_model(read_weights(save_run(build_mae(), model=DECODER)), masker(), image_size=32)
    assert opened.encoder.geometry.grid == (8, 8)
    assert opened.decoder.pos_embed.shape == (1, 65, 8)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("model.decoder.", "has no decoder, so it reconstructs nothing"),
        ("model.decoder.norm", r"lacks decoder\.norm\.weight"),
    ],
)
def test_weights_without_the_whole_decoder_are_refused(build_mae, save_run, lost, message):
    folder = save_run(build_mae(), model=DECODER)
    file = folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    content["state_dict"] = {
        name: value for name, value in content["state_dict"].items() if not name.startswith(lost)
    }
    torch.save(content, file)
    with pytest.raises(ValueError, match=message):
        open_model(read_weights(folder), masker())


def test_a_cae_is_refused_whose_latents_nothing_here_regresses(build_mae, save_run):
    run = save_run(build_mae())
    weights = read_weights(run)
    tensors = weights.tensors | {"regressor.mask_token": torch.zeros(1, 1, 16)}
    with pytest.raises(ValueError, match=r"\(CAE\), and its encoder alone is opened; give a run"):
        open_model(weights._replace(tensors=tensors), masker())


def test_heads_that_are_no_number_are_refused(build_mae, save_run):
    with pytest.raises(ValueError, match=r"model\.decoder\.heads=2 in its config is no int"):
        open_model(read_weights(save_run(build_mae(), model={"decoder": {"heads": "2"}})), masker())


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (PIXEL, (Pixel, False)),
        (PIXEL | {"normalise": True}, (Pixel, True)),
        (
            {
                "term": {
                    "consistency": {"_target_": "mim.loss.consistency.Consistency"},
                    "pixel": PIXEL,
                }
            },
            (Pixel, False),
        ),
        (FREQUENCY, (Frequency, True)),
        (
            {
                "_target_": "mim.loss.term.Term",
                "target": PIXEL | {"_target_": "mim.target.pixel.Pixel"},
            },
            (Pixel, False),
        ),
        # a run from before there were targets
        (PIXEL | {"_target_": "mim.loss.pixel.Pixel"}, (Pixel, False)),
        (FREQUENCY | {"_target_": "mim.loss.frequency.Frequency"}, (Frequency, True)),
    ],
)
def test_a_run_says_what_its_predictions_are(build_mae, save_run, loss, expected):
    painter = open_painter(read_weights(save_run(build_mae(), loss=loss)), Geometry.of(4, 4))
    pixel = painter.pixel if isinstance(painter, Frequency) else painter
    assert (type(painter), pixel.normalise) == expected
    assert painter.dim == (12 if isinstance(painter, Frequency) else 48)


def test_where_nothing_says_it_is_as_published(build_mae, build_simmim, save_run):
    mae, simmim = (
        read_weights(save_run(build_mae(), "mae")),
        read_weights(save_run(build_simmim(), "simmim")),
    )
    assert [open_painter(weights, Geometry.of(4, 4)).normalise for weights in (mae, simmim)] == [
        True,
        False,
    ]
    assert [
        open_painter(mae, Geometry.of(4, 4), target).normalise for target in ("raw", "normalised")
    ] == [False, True]


def test_what_is_no_picture_is_refused(build_mae, save_run):
    weights = read_weights(save_run(build_mae(), loss=TERMS["hog"]))
    with pytest.raises(ValueError, match="was trained to predict no pixels"):
        open_painter(weights, Geometry.of(4, 4))
