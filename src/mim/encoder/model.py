"""Contract of a model: a network that is trained, with an encoder in it."""

from torch import nn

from mim.encoder.encoder import Encoder


class Model(nn.Module):
    """Model: an encoder, and what is trained with it or on it; its checkpoints say `encoder.` of
    the one.
    """

    encoder: Encoder

    def no_weight_decay(self) -> set[str]:
        """Names of matrices among its parameters that weight decay leaves alone: none."""
        return set()
