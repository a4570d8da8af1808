"""Normalisation of a data set's images: as its settings say, measured where nobody knows it."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from mim.data.statistics import Channels, Deviation, Mean, Statistics, chosen, per_channel


class Normalisation:
    """Mean and deviation of each channel, of pixels in [0, 1].

    Args:
        mean, std: a number for each channel, `imagenet`, or `own`; None for ImageNet's of three
            channels, else own.
        own_mean, own_std: of the data set; None where nobody has computed them.
        channels: C.
        measure: statistics of the training images; asked once, where they are not known.

    Raises:
        ValueError: where a setting is no mean or no deviation of so many channels.
    """

    def __init__(
        self,
        mean: Mean | None,
        std: Deviation | None,
        own_mean: Channels | None,
        own_std: Channels | None,
        channels: int,
        measure: Callable[[], Statistics],
    ):
        self._mean, self._std, self._channels = (mean, own_mean), (std, own_std), channels
        self._measure = measure
        chosen("mean", *self._mean, channels, tuple)
        chosen("std", *self._std, channels, tuple)

    @cached_property
    def mean(self) -> Channels:
        """Subtracted, by channel."""
        return chosen("mean", *self._mean, self._channels, lambda: self._measured.mean)

    @cached_property
    def std(self) -> Channels:
        """Divided by afterwards, by channel."""
        return chosen("std", *self._std, self._channels, lambda: self._measured.std)

    @cached_property
    def _measured(self) -> Statistics:
        return self._measure()

    @property
    def is_measured(self) -> bool:
        """Whether either had to be measured, once they were asked for."""
        return "_measured" in self.__dict__

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Mean and deviation of pixels in 0..255, (C, 1, 1) each, on a device."""
        return per_channel(self.mean, device), per_channel(self.std, device)
