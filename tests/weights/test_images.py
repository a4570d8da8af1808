"""Normalisation, channels and class names go along with weights, whatever they are written as."""

import json

import pytest
import timm
import torch
from safetensors import safe_open

from mim.data.digits import Digits
from mim.encoder.vit import ViT
from mim.image_format import ImageFormat
from mim.weights.convert import write
from mim.weights.export import export_encoder
from mim.weights.images import IMAGENET, image_format
from mim.weights.read import read_weights
from mim.weights.weights import Weights

FORMAT = ImageFormat((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1.25, "bilinear", ("cat", "dog"))
DIGITS = {
    "_target_": "mim.data.digits.Digits",
    "augment": {"_target_": "mim.augment.no_augment.NoAugment", "interpolation": "bilinear"},
    "image_size": 32,
    "batch_size": 4,
}


@pytest.fixture
def weights(build_mae, save_run):
    """A run's, which carries its image format."""
    folder = save_run(build_mae(), model={"decoder": {"heads": 2}})
    file = folder / "checkpoints" / "last.ckpt"
    torch.save(torch.load(file, weights_only=True) | {"images": FORMAT.to_plain()}, file)
    return read_weights(folder)


def test_a_checkpoint_says_it(weights):
    assert image_format(weights) == FORMAT


@pytest.mark.parametrize(
    ("to", "name"),
    [
        ("safetensors", "a.safetensors"),
        ("timm", "a.safetensors"),
        ("timm", "a.pth"),
        ("mae", "a.pth"),
    ],
)
def test_so_does_what_it_is_converted_to(weights, tmp_path, to, name):
    write(weights, tmp_path / name, to)
    assert image_format(read_weights(tmp_path / name)) == FORMAT


def test_hugging_face_has_a_file_of_its_own_for_it(weights, tmp_path):
    write(weights, tmp_path / "hf", "hf")
    found = image_format(read_weights(tmp_path / "hf"))
    assert (found.mean, found.std) == (FORMAT.mean, FORMAT.std)
    assert json.loads((tmp_path / "hf" / "preprocessor_config.json").read_text())["size"] == {
        "height": 16,
        "width": 16,
    }


@pytest.mark.slow
def test_so_do_exports(tmp_path):
    encoder = ViT(image_size=16, patch_size=8, width=8, depth=1, heads=1)
    export_encoder(encoder, tmp_path / "a.pt2", "program", FORMAT)
    said = {"images": ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=said)
    assert ImageFormat.from_plain(json.loads(said["images"]), "a.pt2") == FORMAT
    onnxruntime = pytest.importorskip("onnxruntime")
    export_encoder(encoder, tmp_path / "a.onnx", "onnx", FORMAT)
    found = (
        onnxruntime.InferenceSession(tmp_path / "a.onnx")
        .get_modelmeta()
        .custom_metadata_map["images"]
    )
    assert ImageFormat.from_plain(json.loads(found), "a.onnx") == FORMAT


def test_an_older_checkpoint_is_asked_for_its_data_and_others_have_imagenets(build_mae, save_run):
    own = image_format(read_weights(save_run(build_mae(), "older", data=DIGITS)))
    assert (own.mean, own.std) == (Digits.own_mean, Digits.own_std)
    assert (own.short, own.interpolation, own.classes) == (1, "bilinear", ())
    assert image_format(Weights({}, "a")) == IMAGENET


def test_timm_says_how_its_models_were_trained(monkeypatch):
    model = timm.create_model(
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k", pretrained=False, num_classes=0
    )
    monkeypatch.setattr(timm, "create_model", lambda *given, **settings: model)
    found = image_format(read_weights("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"))
    assert (found.mean, found.std) == ((0.5,) * 3, (0.5,) * 3)
    assert found.short_side(224) == 248  # crop_pct 0.9


def test_a_file_cannot_say_what_is_no_format(build_mae, save_run):
    folder = save_run(build_mae())
    file = folder / "checkpoints" / "last.ckpt"
    torch.save(
        torch.load(file, weights_only=True) | {"images": {"mean": [0.0], "std": [-1.0]}}, file
    )
    with pytest.raises(ValueError, match="deviations above 0"):
        read_weights(folder)


def test_metadata_of_safetensors_is_text(weights, tmp_path):
    write(weights, tmp_path / "a.safetensors", "timm")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as opened:
        assert json.loads(opened.metadata()["images"])["classes"] == ["cat", "dog"]
