"""Look at a model that is cut over several processes as if it were whole."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mim.encoder.encoder import Module
from mim.run.insides import without_forward_hooks


@contextmanager
def unsharded(model: Module) -> Iterator[None]:
    """Inside, each process holds all weights, in the precision they are kept in, and may run the model as often as it likes.

    A model cut by FSDP2 runs on all processes or on none, which is not how one looks at it: one process draws a picture,
    another has one batch more to judge. All processes have to enter and leave together; a model that is not cut stays as it
    is. What is changed inside is forgotten.
    """
    places = [
        (part, name, p)
        for part in model.modules()
        for name, p in part.named_parameters(recurse=False)
        if isinstance(p, DTensor)
    ]
    for part, name, share in places:
        setattr(part, name, nn.Parameter(share.full_tensor(), share.requires_grad))
    hooked = [part for part in model.modules() if isinstance(part, FSDPModule)]
    try:
        with without_forward_hooks(hooked):
            yield
    finally:
        for part, name, share in places:
            setattr(part, name, share)
