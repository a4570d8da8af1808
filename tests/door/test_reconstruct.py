"""`python -m mim reconstruct`: what a model makes of pictures, under any masker."""

from functools import partial

import pytest
import torch
from PIL import Image

from mim.__main__ import main
from mim.door.preprocess import Preprocess
from mim.door.reconstruct import reconstruct
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.image_format import ImageFormat
from mim.masker.attention_store import AttentionStore
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.partition.parallel_parts import ParallelParts
from mim.masker.score.random import Random
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.model.simmim import SimMIM
from mim.target.pixel import Pixel

VIT = {"image_size": 32, "patch_size": 8, "width": 16, "depth": 2, "heads": 2}
FORMAT = ImageFormat((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def mae(masker=None):
    torch.manual_seed(0)
    masker = masker or Masker(Random(), FixedRatio(0.75))
    return MAE(
        ViT(**VIT), masker, partial(Decoder, width=8, depth=1, heads=2), {"pixel": 192}
    ).eval()


@pytest.fixture
def pretrained(tmp_path):
    """A run of pre-training, with what it predicts."""
    file = tmp_path / "mae" / "checkpoints" / "last.ckpt"
    file.parent.mkdir(parents=True)
    config = {
        "encoder": {"_target_": "mim.encoder.vit.ViT", **VIT},
        "model": {"decoder": {"heads": 2}},
        "loss": {"_target_": "mim.loss.pixel.Pixel", "normalise": True},
    }
    names = {f"model.{name}": value for name, value in mae().state_dict().items()}
    torch.save({"state_dict": names, "config": config, "images": FORMAT.to_plain()}, file)
    return tmp_path / "mae"


@pytest.fixture
def command(capsys):
    def run(*arguments):
        code = main(["reconstruct", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def image():
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    return pixels, Preprocess((32, 32), FORMAT)


def test_visible_patches_are_the_pictures_and_predictions_are_pasted_into_them(image):
    pixels, preprocess = image
    rows = reconstruct(
        mae(),
        Pixel(Geometry.of(8, 8), normalise=False),
        preprocess.normalise(pixels),
        preprocess,
        range(3),
    )
    assert list(rows) == ["image", "masked", "prediction", "with visible"]
    assert all(row.shape == (3, 3, 32, 32) for row in rows.values())
    torch.testing.assert_close(rows["image"], pixels.expand(3, -1, -1, -1), atol=1e-5, rtol=0)
    # a quarter of the patches, elsewhere by each seed
    visible = (rows["masked"] - rows["image"]).abs().amax(1) < 1e-5
    assert visible.sum((1, 2)).tolist() == [4 * 64] * 3
    assert not torch.equal(visible[0], visible[1])
    pasted = torch.where(visible[:, None], rows["image"], rows["prediction"])
    torch.testing.assert_close(rows["with visible"], pasted)


def test_parts_of_a_mask_are_beside_each_other(image):
    pixels, preprocess = image
    model = mae(Masker(Random(), ParallelParts(4)))
    rows = reconstruct(
        model, Pixel(Geometry.of(8, 8)), preprocess.normalise(pixels), preprocess, [0]
    )
    visible = (rows["masked"] - rows["image"]).abs().amax(1) < 1e-5
    assert (visible.sum(0) == 1).all()  # each patch is visible in one of the four


@pytest.mark.parametrize(
    "masker", [["sbam"], ["amt"], ["scheduled"], ["random", "masker.partition.ratio=0.5"]]
)
def test_a_picture_a_file_under_any_masker(command, pretrained, photos, tmp_path, masker):
    out = tmp_path / "out"
    arguments = (
        photos / "cat" / "0.png",
        photos / "dog" / "0.png",
        "--seeds",
        2,
        "--out",
        out,
        "--masker",
        *masker,
    )
    code, said, err = command(pretrained, *arguments)
    assert code == 0, err
    assert sorted(file.name for file in out.iterdir()) == ["0000_0.png", "0001_0.png"]
    assert said.count("picture  ") == 2
    with Image.open(out / "0000_0.png") as drawn:
        assert drawn.height > drawn.width  # four rows, two columns


def test_a_masker_by_attention_is_shown_that_of_the_picture(image):
    pixels, preprocess = image
    model = mae()
    model.masker.score.store = AttentionStore()
    reconstruct(model, Pixel(Geometry.of(8, 8)), preprocess.normalise(pixels), preprocess, [0])
    maps = model.masker.score.store.maps
    assert maps.shape == (1, 4, 4)
    assert (maps.min(), maps.max()) == (0, 1)


def test_some_pictures_of_a_folder_or_a_data_set_are_drawn(command, pretrained, photos, tmp_path):
    code, said, err = command(pretrained, photos, "--images", 2, "--out", tmp_path / "a")
    assert code == 0, err
    assert "2 of 6 pictures, evenly spread" in said
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["0000_0.png", "0005_2.png"]
    code, said, err = command(pretrained, "data=digits", "--images", 1, "--out", tmp_path / "b")
    assert code == 0, err
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["0000_0.png"]


def test_heads_are_said_where_a_file_has_tensors_alone(command, photos, tmp_path):
    torch.save({"model": mae().state_dict()}, tmp_path / "mae.pth")
    where = tmp_path / "mae.pth", photos, "--images", 1, "--out", tmp_path / "out"
    for more, option in (((), "export and reconstruct"), (("--heads", 2), "--decoder-heads")):
        code, _, err = command(*where, *more)
        assert code == 1
        assert option in err
    code, _, err = command(*where, "--heads", 2, "--decoder-heads", 2)
    assert code == 0, err
    assert list((tmp_path / "out").glob("*.png"))


def test_without_a_decoder_nothing_is_drawn(command, checkpoint, photos, tmp_path):
    code, _, err = command(checkpoint, photos, "--out", tmp_path / "out")
    assert code == 1
    assert "has no decoder, so it reconstructs nothing" in err
    assert not (tmp_path / "out").exists()


def test_attention_of_an_encoder_that_has_none_is_refused(image):
    pixels, preprocess = image
    sizes = {
        "image_size": 32,
        "patch_size": 32,
        "width": 8,
        "depths": [1, 1, 1, 1],
        "heads": [1] * 4,
        "window": 2,
    }
    model = SimMIM(Swin(**sizes), Masker(Random(), FixedRatio(0.5)), {"pixel": 3 * 32**2})
    model.masker.score.store = AttentionStore()
    with pytest.raises(
        ValueError,
        match="Swin has no cls token that attends to all patches, which this masker goes by",
    ):
        reconstruct(
            model, Pixel(Geometry.of(32, 32)), preprocess.normalise(pixels), preprocess, [0]
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], "--seeds=0; needs 1 at least"),
        (["--images", "0"], "--images=0; needs 1 at least"),
        (["--masker", "data.root=x"], "data.root=x is no setting of a masker"),
        (["--masker", "rnadom"], "did you mean 'random'"),
        (["--masker", "masker.partition.ratio=lots"], "masker.partition.ratio='lots' does not fit"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(command, pretrained, photos, arguments, said):
    code, _, err = command(pretrained, photos, *arguments)
    assert code == 1
    assert said in err
    assert err.count("\n") == 1
