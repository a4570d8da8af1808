"""The official initialisation of MAE (models_mae.py: initialize_weights)."""

from torch import nn


def initialise_mae(module: nn.Module) -> None:
    """Linear: Xavier uniform, zero bias; LayerNorm: one and zero. For `module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
