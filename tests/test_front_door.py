"""`import mim` is light, offers parts by name, and a model built by hand takes images."""

import subprocess
import sys
from functools import partial
from importlib import import_module

import pytest
import torch

import mim


def test_nothing_heavy_is_imported_before_it_is_used():
    script = (
        "import sys, mim; assert not {'torch', 'hydra', 'timm', 'numpy'} & sys.modules.keys(); "
        "dir(mim); "
        "assert not {'torch', 'hydra', 'timm', 'numpy'} & sys.modules.keys(); assert mim.Batch; "
        "assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


@pytest.mark.parametrize("name", mim.__all__)
def test_every_name_is_there_under_its_own_name(name):
    assert getattr(mim, name).__name__.removeprefix("mim.") == name
    assert name in dir(mim)


@pytest.mark.parametrize(("name", "module"), [("train", "pretrain"), ("evaluate", "knn")])
def test_a_package_that_is_a_function_too_is_called_as_the_function_is(name, module):
    import_module(f"mim.{name}.{module}")
    assert getattr(mim, name) is sys.modules[f"mim.{name}"]
    with pytest.raises(TypeError, match=rf"^{name}\(\) missing 1 required positional argument"):
        getattr(mim, name)()


@pytest.mark.parametrize("name", mim.ROOMS)
def test_a_package_that_is_a_function_too_is_itself_whoever_asks_first(name):
    """Hydra looks for `mim.train.pretrain.Pretrain` step by step, in a program that has not
    imported it.
    """
    assert mim.__getattr__(name) is import_module(f"mim.{name}")


def test_a_name_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(AttributeError, match=r"'laod'; it offers .* load"):
        _ = mim.laod


def test_a_model_built_by_hand_takes_images():
    torch.manual_seed(0)
    encoder = mim.ViT(image_size=16, patch_size=4, width=8, depth=1, heads=2)
    masker = mim.Masker(mim.Random(), mim.FixedRatio(0.75))
    image = torch.randn(2, 3, 16, 16)
    dims = {"pixel": 48}
    for model in (
        mim.MAE(encoder, masker, partial(mim.Decoder, width=8, depth=1, heads=2), dims),
        mim.SimMIM(encoder, masker, dims),
    ):
        made, same = model(image), model(mim.Batch.of(image))
        assert made.prediction.shape == (2, 1, 12, 48)
        assert torch.equal(made.prediction, same.prediction)
        other = model(mim.Batch.of(image, seed=1))
        assert not torch.equal(made.split.masked, other.split.masked)


def test_a_classifier_takes_images_too():
    from mim.pool.simple import Mean

    encoder = mim.ViT(image_size=16, patch_size=4, width=8, depth=1, heads=2)
    model, image = mim.Classifier(encoder, {"mean": Mean()}, 3).eval(), torch.randn(2, 3, 16, 16)
    assert torch.equal(model(image), model(mim.Batch.of(image)))
