"""Losses of the first 20 steps of short trainings on the digits, as tests/golden/loss_curves.json
holds them.

`python -m tests.loss.curves` trains them again and says of each whether it is bit for bit what is
held; with `record` it writes them anew: only where a change of numbers is meant.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as L
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate

from mim.launch.resolvers import register_resolvers

CONFIGS = Path(__file__).parents[2] / "configs"
HELD = Path(__file__).parents[1] / "golden" / "loss_curves.json"
STEPS = 20
SHORT = (
    "encoder=vit_pico",
    "data=digits",
    "data.batch_size=32",
    "epochs=1",
    "warmup_steps=5",
    "seed=0",
)
LOSSES = {
    "pixel": ("loss=pixel",),
    "pixel_raw": ("loss=pixel", "loss.target.normalise=false"),
    "pixel_l1": ("loss=pixel_l1",),
    "hog": ("loss=hog",),
    "frequency": ("loss=frequency",),
    "frequency_low": ("loss=frequency", "loss.target.keep=2"),
    "emae": ("masker=emae", "loss=emae"),
    "consistency": ("masker=emae", "loss=emae", "loss.weight.pixel=0"),
    "adaptive": ("masker=sbam", "loss=pixel"),
}
TRAININGS = {
    f"{model}/{name}": (f"model={model}", *loss)
    for model in ("mae", "simmim")
    for name, loss in LOSSES.items()
}


class Curve(L.Callback):
    """Keeps what each step logs."""

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        for name, value in trainer.callback_metrics.items():
            self.values.setdefault(name, []).append(value.item())


def curve(overrides: tuple[str, ...]) -> dict[str, list[float]]:
    """Train for 20 steps on one thread in float32 -> what was logged, by name."""
    register_resolvers()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose(
            "train", [*SHORT, *overrides, "hydra.runtime.output_dir=run"], return_hydra_config=True
        )
    HydraConfig.instance().set_config(cfg)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        L.seed_everything(cfg.seed, workers=True, verbose=False)
        data, task = instantiate(cfg.data), instantiate(cfg.task)
        kept = Curve()
        trainer = L.Trainer(
            accelerator="cpu",
            devices=1,
            max_steps=STEPS,
            callbacks=[kept],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        trainer.fit(task, datamodule=data)
    finally:
        torch.set_num_threads(threads)
    return kept.values


def main() -> None:
    """Compare to the last bit, or record."""
    curves = {name: curve(overrides) for name, overrides in TRAININGS.items()}
    if sys.argv[1:] == ["record"]:
        rows = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(values)}" for name, values in curves.items()
        )
        HELD.write_text(f"{{\n{rows}\n}}\n")
    held = json.loads(HELD.read_text())
    for name, values in curves.items():
        print(f"{name:<24}{'the same to the last bit' if values == held[name] else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
