"""`model=simmim` is one override: it brings what SimMIM hides and predicts, and the command line
has the last word.
"""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mim.batch import blank
from mim.launch.resolvers import register_resolvers
from mim.loss.weighted_sum import WeightedSum
from mim.part import Progress

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def composed():
    def build(*overrides: str):
        register_resolvers()
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = compose("train", overrides=list(overrides))
        return OmegaConf.masked_copy(
            cfg,
            [
                "seed",
                "data",
                "encoder",
                "masker",
                "loss",
                "model",
                "schedule",
                "warmup_steps",
                "epochs",
                "warmup_epochs",
                "base_lr",
                "optimizer",
            ],
        )

    return build


def test_it_hides_cells_and_predicts_raw_pixels(composed):
    cfg = composed("model=simmim")
    assert (cfg.masker.cell, cfg.masker.partition.ratio, cfg.masker.partition.rounding) == (
        2,
        0.6,
        "mask_up",
    )
    assert (cfg.loss.target.normalise, cfg.loss.error) == (False, "l1")
    assert composed().masker.cell == 1
    assert composed().loss.error == "l2"


def test_the_command_line_has_the_last_word(composed):
    cfg = composed("model=simmim", "masker=block", "loss=pixel", "masker.partition.ratio=0.5")
    assert (cfg.masker.cell, cfg.masker.partition.ratio, cfg.loss.error) == (1, 0.5, "l2")


@pytest.mark.parametrize("encoder", ["vit_pico", "beit_pico", "swin_pico"])
def test_every_small_encoder_predicts_three_of_four_cells_of_a_digit(composed, encoder):
    cfg = composed("model=simmim", f"encoder={encoder}")
    model = instantiate(cfg.model)(target_dims=WeightedSum.of_one(instantiate(cfg.loss)).fit)
    assert model(blank(2, (32, 32))).prediction.shape == (2, 1, 12, 192)


@pytest.mark.parametrize(("name", "masked", "seen"), [("vit", 120, 196), ("swin", 22, 36)])
def test_the_published_recipes_hide_what_they_say_at_the_rates_they_say(
    composed, name, masked, seen
):
    cfg = composed(f"experiment=simmim/imagenet_{name}_base")
    grid = (cfg.data.image_size // cfg.encoder.patch_size,) * 2
    split = instantiate(cfg.masker)(blank(2, (8, 8)), grid)
    assert (split.masked.shape[2], split.masked.shape[2] + split.visible.shape[2]) == (masked, seen)
    schedule, peak = instantiate(cfg.schedule), cfg.base_lr * 2048 / 256
    official = {"vit": (1e-4, 5e-7), "swin": (2e-4, 1e-6)}[
        name
    ]  # for 512 images: the peak, and where the warm-up starts
    assert peak == pytest.approx(official[0] * 4)
    assert peak * schedule(Progress(0, cfg.epochs, 1), peak) == pytest.approx(official[1] * 4)
