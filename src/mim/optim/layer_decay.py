"""Learning rates that fall from layer to layer, from the head down to the patches (MAE,
util/lr_decay.py; SimMIM, optimizer.py).
"""

from typing import Annotated, TypedDict

from torch import nn

from mim.encoder.encoder import Encoder
from mim.encoder.model import Model
from mim.ranges import SomeShare, refuse_outside

LayerDecay = Annotated[SomeShare, "e.g. 0.65"]
"""A layer's rate over that of the next one."""
SHARED = "rel_pos_bias."  # by all blocks, of which it stands in front


class Group(TypedDict):
    """Group of an optimiser's parameters, with a learning rate and a weight decay of its own."""

    params: list[nn.Parameter]
    lr: float
    weight_decay: float


def layer_numbers(encoder: Encoder) -> dict[str, int]:
    """Parameter name -> its layer: 0 of what stands before the blocks, then one a block; what
    follows all blocks is one further.

    What merges patches between Swin's stages belongs to the block before it, a bias shared by all
    blocks to what follows them. timm's own numbers (`group_matcher`) differ in both, and put a
    ViT's final norm into its last block.
    """
    blocks = list(encoder.blocks)
    inside = {
        id(p): number for number, block in enumerate(blocks, start=1) for p in block.parameters()
    }
    numbers: dict[str, int] = {}
    last, top = 0, len(blocks) + 1
    for name, parameter in encoder.named_parameters():
        last = inside.get(id(parameter), last)
        between = 0 < last < len(blocks)
        stem = last == 0 and not name.startswith(SHARED)
        numbers[name] = 0 if stem else last if id(parameter) in inside or between else top
    return numbers


def layer_decay_groups(
    model: Model, lr: float, weight_decay: float, layer_decay: float
) -> list[Group]:
    """Parameter groups of a model, each with a learning rate and a weight decay of its own.

    torch's schedules know nothing of timm's `lr_scale`, so the rate itself is multiplied.

    Args:
        model: its trainable parameters are taken; `no_weight_decay()` names matrices that are not
            decayed.
        lr: of what follows the encoder's blocks.
        weight_decay: of matrices; vectors and biases are not decayed.
        layer_decay: a layer's rate over that of the next one; 1 for one rate everywhere.

    Raises:
        ValueError: where `layer_decay` is not above 0 and at most 1.
    """
    refuse_outside("layer_decay", layer_decay, LayerDecay)
    top = model.encoder.depth + 1
    numbers = {f"encoder.{name}": number for name, number in layer_numbers(model.encoder).items()}
    undecayed = model.no_weight_decay()
    groups: dict[tuple[int, float], Group] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            number = numbers.get(name, top)
            decay = 0.0 if parameter.ndim <= 1 or name in undecayed else weight_decay
            group = Group(params=[], lr=lr * layer_decay ** (top - number), weight_decay=decay)
            groups.setdefault((number, decay), group)["params"].append(parameter)
    return list(groups.values())
