from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from mim.augment.boxes import ClampedBoxes, TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def data(tmp_path):
    """Build the data set that a command line asks for; nothing is read yet."""
    top = f"hydra: {{searchpath: ['file://{CONFIGS}']}}\ndefaults: [{{data: digits}}, _self_]\n"
    (tmp_path / "top.yaml").write_text(
        top + "seed: 7\npaths: {data: somewhere, cache: elsewhere}\n"
    )

    def build(*overrides: str):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return instantiate(compose("top", overrides=list(overrides)).data)

    return build


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "data").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_choice_builds_a_class_of_the_module_it_is_named_after(data, path):
    built = data(f"data={path.stem}")
    assert path.stem.startswith(type(built).__module__.removeprefix("mim.data."))
    assert built.seed == 7
    assert isinstance(built.augment, NoAugment if path.stem.endswith("digits") else CropFlip)


@pytest.mark.parametrize(
    "path", sorted((CONFIGS / "augment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_augmentation_can_be_chosen_for_any_set(data, path):
    augment = data("data=cifar10", f"augment@data.augment={path.stem}").augment
    # crop_jitter is one view of multi_crop
    built_on = OmegaConf.load(path).get("defaults", [path.stem])[0]
    assert built_on.startswith(type(augment).__module__.removeprefix("mim.augment."))


def test_crops_are_set_where_they_are_used(data):
    boxes = data("data=cifar10", "data.augment.boxes.scale=[0.5,1]").augment.boxes
    assert isinstance(boxes, TorchvisionBoxes)
    assert boxes.scale == (0.5, 1)
    assert isinstance(data("augment@data.augment=crop_flip_mae").augment.boxes, ClampedBoxes)
    simmim = data("data=imagenet", "augment@data.augment=crop_flip_simmim").augment
    assert (simmim.boxes.scale, simmim.interpolation, simmim.flip) == ((0.67, 1.0), "bilinear", 0.5)
    linear = data("augment@data.augment=crop_flip_linear").augment
    assert (type(linear.boxes), linear.boxes.scale, linear.interpolation) == (
        TorchvisionBoxes,
        (0.08, 1.0),
        "bicubic",
    )
    assert (
        data(
            "augment@data.augment=finetune", "data.augment.interpolation=bilinear"
        ).augment.interpolation
        == "bilinear"
    )
    assert get_class("mim.data.digits.Digits") is type(data())
