"""What a model returns."""

from typing import NamedTuple

from torch import Tensor

from mim.masker.split import Split


class Reconstruction(NamedTuple):
    """Predicted values of the masked patches, in the order of `split.masked`."""

    predictions: dict[str, Tensor]
    """By the term of the loss that they are made for, each (B, K, Lm, P) with a P of its own."""
    split: Split

    @property
    def prediction(self) -> Tensor:
        """Prediction of a model that makes one, (B, K, Lm, P).

        Raises:
            ValueError: where several are made.
        """
        if len(self.predictions) != 1:
            raise ValueError(f"the model predicts {', '.join(self.predictions)}; say which, in .predictions[...]")
        return next(iter(self.predictions.values()))
