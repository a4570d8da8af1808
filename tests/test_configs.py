"""Every yaml composes, passes the check that a run makes, and builds the class that its path
names.
"""

from itertools import zip_longest
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mim.launch.check import check_config
from mim.launch.resolvers import register_resolvers

CONFIGS = Path(__file__).parents[1] / "configs"
PACKAGES = (
    "encoder",
    "masker/score",
    "masker/partition",
    "loss",
    "target",
    "pool",
    "data",
    "augment",
    "model",
    "model/decoder",
    "judge",
    "head",
    "task",
    "evaluate",
)
# a file of several classes, a folder that says it already, and a sum that a paper gives its name to
NAMED_OTHERWISE = (
    "cifar",
    "by_attention",
    "simple",
    "centre_patches",
    "classify",
    "decoder",
    "query_decoder",
    "term",
    "timm_vit",
    "weighted_sum",
    "across_views",
    "siamese",
    "mae",
)
NEEDS_MORE = {
    "encoder=swin_base": ["model=simmim", "data.image_size=192"],
    "encoder=swin_large": ["model=simmim", "data.image_size=192"],
    "encoder=swin_pico": ["model=simmim"],
    "encoder=beit_base": ["model=simmim"],
    "encoder=beit_base_absolute": ["model=simmim"],
    "encoder=beit_pico": ["model=simmim"],
    "model=classifier": ["task=finetune"],
}


def composed(*overrides: str):
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(
            "train",
            overrides=[*overrides, "hydra.runtime.output_dir=run"],
            return_hydra_config=True,
        )
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def given(group: str, value: str = "{}") -> list[str]:
    """What chooses each name of a group."""
    return [f"{group}={value.format(name)}" for name in choices(group.partition("@")[0])]


def beside(*groups: list[str]) -> list[tuple[str, ...]]:
    """Choices of groups that do not ask for each other, in as few commands as the longest has."""
    return [tuple(filter(None, row)) for row in zip_longest(*groups)]


ALONE = ("encoder", "masker", "loss", "data", "model", "augment@data.augment")
PROBE = "pool@callback.online_probe.pool"
ALL = [(choice,) for group in ALONE for choice in given(group)] + [
    *((f"recipe=pretrain/{name}",) for name in choices("recipe/pretrain")),
    *beside(given("masker/score"), given("masker/partition")),
    *beside(given("callback", "[{}]"), given("target@loss.target"), given("debug")),
    *beside(*map(given, (PROBE, "schedule", "trainer", "logger", "optimizer", "sweep"))),
]


@pytest.mark.parametrize("chosen", ALL, ids=" ".join)
def test_every_choice_composes_and_passes_the_check(chosen):
    check_config(composed(*chosen, *NEEDS_MORE.get(chosen[0], [])))


FINE_TUNED = beside(given("pool"), given("data"), given("encoder"))


@pytest.mark.parametrize("chosen", FINE_TUNED, ids=" ".join)
def test_every_choice_of_fine_tuning_composes_and_passes_the_check(chosen):
    check_config(composed("task=finetune", *chosen))


def test_a_target_takes_the_place_of_raw_pixels():
    other = composed("model=simmim", "target@loss.target=hog")
    check_config(other)
    assert other.loss.target._target_ == "mim.target.hog.HOG"
    assert other.loss.error == "l1"
    assert composed("model=simmim").loss.target.normalise is False


@pytest.mark.parametrize("group", PACKAGES)
def test_every_yaml_builds_from_the_module_that_its_path_names(group):
    for path in (CONFIGS / group).glob("*.yaml"):
        target = OmegaConf.load(path).get("_target_")
        if target is None:  # stands on another choice of its group
            continue
        module = target.rpartition(".")[0]
        package = f"mim.{group.replace('/', '.')}"
        package = {"mim.judge": "mim.evaluate", "mim.task": module.rpartition(".")[0]}.get(
            package, package
        )
        package = "mim.model" if package == "mim.model.decoder" else package
        assert module == package or module.startswith(f"{package}."), path
        stem = module.removeprefix(package).lstrip(".")
        assert path.stem.startswith(stem) or stem in NAMED_OTHERWISE, path


def test_an_experiment_begins_with_the_line_that_hydra_needs():
    for path in CONFIGS.glob("experiment/**/*.yaml"):
        assert path.read_text().startswith("# @package _global_\n"), path


@pytest.mark.parametrize("encoder", ["vit_base", "vit_large", "vit_huge"])
def test_large_encoders_are_the_published_ones(encoder):
    cfg = composed(f"encoder={encoder}", "data=imagenet")
    sizes = {
        "vit_base": (768, 12, 12, 16),
        "vit_large": (1024, 24, 16, 16),
        "vit_huge": (1280, 32, 16, 14),
    }[encoder]
    assert (
        cfg.encoder.width,
        cfg.encoder.depth,
        cfg.encoder.heads,
        cfg.encoder.patch_size,
    ) == sizes
    assert (cfg.model.decoder.width, cfg.model.decoder.depth, cfg.model.decoder.heads) == (
        512,
        8,
        16,
    )
    assert (cfg.task.base_lr, cfg.schedule.warmup_epochs, cfg.trainer.max_epochs) == (
        1.5e-4,
        40,
        800,
    )


def test_a_pool_is_known_by_the_name_of_its_file():
    """What lets pool=[cls,mean] name several."""
    for path in (CONFIGS / "pool").glob("*.yaml"):
        assert path.read_text().startswith(f"# @package pool.{path.stem}\n"), path
