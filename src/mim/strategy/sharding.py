"""Look at a model that is cut over several processes as if it were whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from mim.encoder.encoder import Module
from mim.run.insides import without_forward_hooks


class _Gathered(NamedTuple):
    """A parameter that stands in a module for the share of it that this process holds."""

    module: nn.Module
    name: str
    share: nn.Parameter
    whole: nn.Parameter


_gathered: list[list[_Gathered]] = []  # for each `unsharded` that this process is in


@contextmanager
def unsharded(model: Module) -> Iterator[None]:
    """Inside, each process holds all weights, in the precision they are kept in, and may run the
    model as often as it likes.

    A model cut by FSDP2 runs on all processes or on none, which is not how one looks at it: one
    process draws a picture, another has one batch more to judge. All processes have to enter and
    leave together; a model that is not cut stays as it is. What is changed inside is forgotten.
    """
    gathered = [
        _Gathered(module, name, share, nn.Parameter(share.full_tensor(), share.requires_grad))
        for module in model.modules()
        for name, share in module.named_parameters(recurse=False)
        if isinstance(share, DTensor)
    ]
    for module, name, _, whole in gathered:
        setattr(module, name, whole)
    _gathered.append(gathered)
    hooked = [part for part in model.modules() if isinstance(part, FSDPModule)]
    try:
        with without_forward_hooks(hooked):
            yield
    finally:
        _gathered.pop()
        for module, name, share, _ in gathered:
            setattr(module, name, share)


@contextmanager
def shares_in_place() -> Iterator[None]:
    """Inside, modules hold their shares, also within `unsharded`: the optimiser knows these, and a
    checkpoint is made of them.
    """
    everything = [each for gathered in _gathered for each in gathered]
    for module, name, share, _ in everything:
        setattr(module, name, share)
    try:
        yield
    finally:
        for module, name, _, whole in everything:
            setattr(module, name, whole)


def blocks(model: nn.Module) -> list[nn.Module]:
    """What stands in the lists called `blocks`, as timm calls them: of the encoder, the decoder,
    each stage of a Swin.
    """
    lists = (part for name, part in model.named_modules() if name.rpartition(".")[2] == "blocks")
    return [block for part in lists for block in part.children()]
