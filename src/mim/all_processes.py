"""What all processes have between them, inside a step: a batch is the same batch however many share it."""

from torch import Tensor, distributed
from torch.distributed._functional_collectives import all_reduce  # torch names no other that gradients pass


def mean_of_all(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, of which each has as many images; gradients flow back to each."""
    world = distributed.group.WORLD
    return x if _alone() or world is None else all_reduce(x, "avg", world)


def rows_of_all(x: Tensor) -> tuple[Tensor, int]:
    """Rows of all processes, (N, ...) -> (W * N, ...), and the number of the first own one; no gradient passes."""
    if _alone():
        return x.detach(), 0
    rows = x.new_empty(distributed.get_world_size() * len(x), *x.shape[1:])
    distributed.all_gather_into_tensor(rows, x.detach().contiguous())
    return rows, distributed.get_rank() * len(x)


def _alone() -> bool:
    return not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1
