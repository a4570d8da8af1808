"""Parameter groups of ViTDet: rates by layer, and decay as detectron2's release has it
(configs/common/optim.py).
"""

from mim.encoder.model import Model
from mim.optim.layer_decay import Group, layer_numbers

RELATIVE = "relative."
"""Where a model keeps the relative positions of each block, by the block's number from 0."""


def vitdet_groups(model: Model, lr: float, weight_decay: float, layer_decay: float) -> list[Group]:
    """Parameter groups of a model, which may have relative positions in `relative`.

    Everything is decayed, biases too, but for what `no_weight_decay()` names: positions and the
    ViT's norms.

    Args:
        model: its trainable parameters are taken.
        lr: of what follows the encoder's blocks.
        weight_decay: of what is decayed.
        layer_decay: a layer's rate over that of the next one; 1 for one rate everywhere.

    Raises:
        ValueError: where `layer_decay` is not above 0 and at most 1.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(
            f"layer_decay={layer_decay}; needs a factor above 0 and at most 1, e.g. "
            "task.layer_decay=0.7"
        )
    top, undecayed = model.encoder.depth + 1, model.no_weight_decay()
    numbers = {f"encoder.{name}": number for name, number in layer_numbers(model.encoder).items()}
    groups: dict[tuple[int, float], Group] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        number = numbers.get(name, top)
        if name.startswith(RELATIVE):
            number = int(name.removeprefix(RELATIVE).partition(".")[0]) + 1
        decay = 0.0 if name in undecayed else weight_decay
        group = Group(params=[], lr=lr * layer_decay ** (top - number), weight_decay=decay)
        groups.setdefault((number, decay), group)["params"].append(parameter)
    return list(groups.values())
