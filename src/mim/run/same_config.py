"""All processes of a run run the same thing, or none runs: a difference would train something that
nobody asked for.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import TypeVar

import pytorch_lightning as L
import torch.distributed as dist

from mim.launch.processes import started
from mim.plain import Settings

T = TypeVar("T")


class SameConfigOnAllRanks(L.Callback):
    """Before anything is built on it: as many processes as the trainer counts on, and one config.

    Args:
        config: of this process, resolved.
    """

    def __init__(self, config: Settings):
        self.config = config

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Compare.

        Raises:
            ValueError: on every process, where two differ.
        """
        there = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
        if (found := started()) is not None:
            _count(found.devices * found.nodes, f"{found.by} started", trainer.world_size)
        _count(there, "there are", trainer.world_size)
        if there == 1:
            return
        text = json.dumps(self.config, sort_keys=True, default=str)
        digests = _gather(hashlib.sha256(text.encode()).hexdigest(), there)
        if len(set(digests)) > 1:
            raise ValueError(
                _difference([dict(_leaves(config)) for config in _gather(self.config, there)])
            )


def _count(there: int, say: str, expected: int) -> None:
    if there != expected:
        raise ValueError(
            f"{say} {there} process(es), and trainer.devices x trainer.num_nodes asks for "
            f"{expected}; leave both out with "
            "trainer=ddp or trainer=fsdp, which take as many as there are"
        )


def _gather(mine: T, count: int) -> list[T]:
    """What each process has, by rank."""
    all_of_them: list[T] = [mine] * count
    dist.all_gather_object(all_of_them, mine)
    return all_of_them


def _leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted paths and the values there."""
    if not isinstance(node, dict | list):
        yield path, node
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _leaves(value, f"{path}.{key}" if path else str(key))


def _difference(configs: list[Settings]) -> str:
    first = configs[0]
    rank, other = next((rank, other) for rank, other in enumerate(configs) if other != first)
    name = next(
        name for name in [*first, *other] if first.get(name, "absent") != other.get(name, "absent")
    )
    return (
        f"the processes of this run do not agree: {name} is {first.get(name, 'absent')} on rank 0 "
        "and "
        f"{other.get(name, 'absent')} on rank {rank}; start all of them with one command line"
    )
