"""Silence messages of libraries that tell a user of `mim` nothing to act on."""

import logging
import warnings

_NOTHING_TO_ACT_ON = (
    ".*have no `validation_step`.*",  # held-out images are for probes and pictures
    ".*exists and is not empty.*",  # the run folder already holds config.yaml
    ".*does not have many workers.*",  # sets in memory need none
    ".*is smaller than the logging interval.*",
    ".*LeafSpec.*",
    ".*`weights_only` was not set.*",  # checkpoint/atomic always loads with weights_only=True
    # data/sampler goes on where it stopped
    ".*before the epoch ended and your dataloader is not resumable.*",
    ".*that wasn't set to `.eval.*",
    ".*in eval mode at the start of training.*",  # a teacher is
    ".*Grad strides do not match bucket view strides.*",
    # what replaces it is not in every version that is supported
    ".*`broadcast_buffers` is deprecated.*",
    ".*FSDP2-wrapped module .* returned a view tensor.*",  # no loss changes a prediction in place
)


def silence_libraries() -> None:
    """Leave warnings that matter, and errors."""
    for name in (
        "pytorch_lightning",
        "lightning.fabric",
        "lightning_fabric",
        "lightning.pytorch",
        "fontTools",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in _NOTHING_TO_ACT_ON:
        warnings.filterwarnings("ignore", message=message)
