"""Optimiser and epoch of a checkpoint that the official MAE wrote while it trained (util/misc.py:
save_model).
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mim.part import Saved
from mim.weights.files import open_torch
from mim.weights.official_mae import from_official

FIXED = ("pos_embed", "decoder_pos_embed")  # parameters that are not trained


class OfficialTraining(NamedTuple):
    """What is beside the weights."""

    epoch: int | None
    """The last one that is done, counted from 0; None where the file does not say."""
    moments: dict[str, dict[str, Tensor]]
    """AdamW's state by our names of the parameters; empty where the file has none."""


def official_training(file: Path) -> OfficialTraining:
    """Epoch and moments of a file; neither where it is no training of the official MAE.

    AdamW numbers its parameters in the order of its groups, which are those that are not decayed
    (one dimension, or called `.bias`), then the others, each in the order of the weights (timm
    0.3.2, optim_factory.py: add_weight_decay).

    Raises:
        ValueError: where the optimiser's state is of other tensors than the weights.
    """
    content = open_torch(file)
    if not isinstance(content, dict) or "decoder_embed.weight" not in content.get("model", ()):
        return OfficialTraining(None, {})
    epoch = content.get("epoch")
    return OfficialTraining(epoch if isinstance(epoch, int) else None, _moments(content, file))


def _moments(content: Saved, file: Path) -> dict[str, dict[str, Tensor]]:
    state = (content.get("optimizer") or {}).get("state")
    if not state:
        return {}
    weights = {name: value for name, value in content["model"].items() if name not in FIXED}
    plain = [name for name, value in weights.items() if value.ndim == 1 or name.endswith(".bias")]
    order = plain + [name for name in weights if name not in set(plain)]
    shapes = [tuple(weights[name].shape) for name in order]
    theirs = [tuple(state[k]["exp_avg"].shape) for k in sorted(state)]
    if shapes != theirs:
        raise ValueError(
            f"{file}: its optimiser keeps {len(theirs)} tensors, which are not its {len(shapes)} "
            "weights in the order of the "
            'official MAE; drop its state to start the moments anew: del content["optimizer"]'
        )
    return {
        f"model.{from_official(name)}": {
            "step": torch.as_tensor(state[k]["step"], dtype=torch.float32),
            "exp_avg": state[k]["exp_avg"],
            "exp_avg_sq": state[k]["exp_avg_sq"],
        }
        for k, name in zip(sorted(state), order, strict=True)
    }
