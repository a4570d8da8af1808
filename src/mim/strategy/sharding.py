"""Look at a model that is cut over several processes as if it were whole."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mim.encoder.encoder import Module


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
    hooks = [(part._forward_pre_hooks, part._forward_hooks) for part in hooked]
    try:
        for part in hooked:  # they gather weights, together with all processes
            part._forward_pre_hooks, part._forward_hooks = OrderedDict(), OrderedDict()
        yield
    finally:
        for part, (before, after) in zip(hooked, hooks, strict=True):
            part._forward_pre_hooks, part._forward_hooks = before, after
        for part, name, share in places:
            setattr(part, name, share)
