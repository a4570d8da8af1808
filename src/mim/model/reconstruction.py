"""What a model returns."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from mim.masker.split import Split


class Reconstruction(NamedTuple):
    """Predicted values of the masked patches, in the order of `split.masked`."""

    predictions: dict[str, Tensor]
    """By the term of the loss that they are made for, each (B, K, Lm, P) with a P of its own."""
    split: Split
    vectors: Mapping[str, Tensor] = MappingProxyType({})
    """Of whole images, by the term of the loss that compares them, each (B, K, P)."""

    @property
    def prediction(self) -> Tensor:
        """Prediction of a model that makes one, (B, K, Lm, P).

        Raises:
            ValueError: where several are made.
        """
        if len(self.predictions) != 1:
            raise ValueError(
                f"the model predicts {', '.join(self.predictions)}; say which, in .predictions[...]"
            )
        return next(iter(self.predictions.values()))


@runtime_checkable
class Compares(Protocol):
    """Model that makes vectors of whole images, for terms of the loss that compare them."""

    compared: tuple[str, ...]
    """Names of those terms."""
