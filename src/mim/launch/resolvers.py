"""What yaml may ask for beyond plain values."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from mim.launch.identity import sweep_name
from mim.launch.processes import devices, has_gpu, nodes, run_stamp


def best_precision(accelerator: str) -> str:
    """bf16 where a GPU trains, float32 where a CPU does."""
    on_gpu = accelerator in ("gpu", "cuda") or (accelerator == "auto" and has_gpu())
    return "bf16-mixed" if on_gpu else "32-true"


def overrides() -> list[str]:
    """What the command line changed, as it was written: `${...}` in it is not looked up again."""
    given = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    assert isinstance(given, list)
    return given


def register_resolvers() -> None:
    """Make `${best_precision:...}` and the like available to every config. Calling it again changes
    nothing.
    """
    OmegaConf.register_new_resolver("best_precision", best_precision, replace=True)
    OmegaConf.register_new_resolver("overrides", overrides, replace=True)
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    OmegaConf.register_new_resolver("devices", devices, replace=True)
    OmegaConf.register_new_resolver("nodes", nodes, replace=True)
    OmegaConf.register_new_resolver("run_stamp", run_stamp, replace=True, use_cache=True)
