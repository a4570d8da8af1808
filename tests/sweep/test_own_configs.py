"""Jobs of a sweep look for configs where its command line did."""

from omegaconf import OmegaConf

from hydra_plugins.fresh_launcher import own_configs


def test_folders_of_the_command_line_are_handed_on_and_ours_are_not():
    sources = [
        {"path": "/mim/configs", "schema": "file", "provider": "main"},
        {"path": "/my own", "schema": "file", "provider": "command-line"},
    ]
    overrides = {"hydra": ["hydra.searchpath=[file://more]", "hydra.mode=MULTIRUN"]}
    cfg = OmegaConf.create(
        {"hydra": {"runtime": {"config_sources": sources}, "overrides": overrides}}
    )
    assert own_configs(cfg) == ["--config-dir=/my own", "hydra.searchpath=[file://more]"]
    cfg.hydra.runtime.config_sources = sources[:1]
    cfg.hydra.overrides.hydra = []
    assert own_configs(cfg) == []
