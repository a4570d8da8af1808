"""Fine-tuning experiments are the official ones (MAE: FINETUNE.md, main_finetune.py; SimMIM:
configs/, config.py).
"""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from mim.launch.resolvers import register_resolvers

CONFIGS = Path(__file__).parents[2] / "configs"

# experiment, images a step, peak rate, layer decay, drop path, epochs, warm-up, image size
RECIPES = [
    ("mae/finetune_vit_base", 1024, 2e-3, 0.65, 0.1, 100, 5, 224),
    ("mae/finetune_vit_large", 1024, 4e-3, 0.75, 0.2, 50, 5, 224),
    ("mae/finetune_vit_huge", 1024, 4e-3, 0.75, 0.3, 50, 5, 224),
    ("simmim/finetune_vit_base", 2048, 5e-3, 0.65, 0.1, 100, 20, 224),
    ("simmim/finetune_swin_base_192", 2048, 5e-3, 0.9, 0.1, 100, 20, 192),
    ("simmim/finetune_swin_base", 2048, 5e-3, 0.9, 0.1, 100, 20, 224),
    ("simmim/finetune_swin_base_800", 2048, 5e-3, 0.8, 0.1, 100, 20, 224),
    ("simmim/finetune_swin_large", 2048, 5e-3, 0.7, 0.2, 100, 20, 224),
]


@pytest.mark.parametrize(
    ("name", "images", "peak", "layer_decay", "drop_path", "epochs", "warmup_epochs", "size"),
    RECIPES,
)
def test_a_recipe_has_the_published_values(
    name, images, peak, layer_decay, drop_path, epochs, warmup_epochs, size
):
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        overrides = [f"experiment={name}", "hydra.runtime.output_dir=run"]
        cfg = compose("train", overrides=overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    assert cfg.task.base_lr * images / 256 == pytest.approx(peak)
    assert (cfg.task.layer_decay, cfg.encoder.drop_path, cfg.task.weight_decay) == (
        layer_decay,
        drop_path,
        0.05,
    )
    assert (cfg.trainer.max_epochs, cfg.schedule.warmup_epochs, cfg.schedule.min_lr) == (
        epochs,
        warmup_epochs,
        1e-6,
    )
    assert (cfg.task.mix.mixup_alpha, cfg.task.mix.cutmix_alpha, cfg.task.label_smoothing) == (
        0.8,
        1.0,
        0.1,
    )
    assert (cfg.task.erase.probability, cfg.task.erase.mode) == (0.25, "pixel")
    assert cfg.data.augment.policy == "rand-m9-mstd0.5-inc1"
    assert list(cfg.optimizer.betas) == [0.9, 0.999]
    assert list(cfg.pool) == ["mean"]
    assert (cfg.data.image_size, cfg.data.augment.boxes.scale[0]) == (size, 0.08)
    assert cfg.masker is None
    simmim = name.startswith("simmim")
    assert cfg.trainer.gradient_clip_val == (5.0 if simmim else None)
    assert cfg.schedule.get("warmup_lr") == (1e-6 if simmim else None)
