"""What a model is cut into."""

from torch import nn


def blocks(model: nn.Module) -> list[nn.Module]:
    """What stands in the lists called `blocks`, as timm calls them: of the encoder, the decoder, each stage of a Swin."""
    lists = (part for name, part in model.named_modules() if name.rpartition(".")[2] == "blocks")
    return [block for part in lists for block in part.children()]
