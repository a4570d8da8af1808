"""Weights, gradients and optimiser state cut over all processes (FSDP2; Zhao et al., arXiv
2304.11277).
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import pytorch_lightning as L
import torch
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.strategies import ModelParallelStrategy, Strategy
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.optim import Optimizer

from mim.checkpoint.optimizer_state import in_tensors
from mim.checkpoint.sharded import is_sharded, write_sharded
from mim.part import Saved
from mim.precision import DTYPES
from mim.ranges import Count
from mim.run.insides import callbacks_of, renew_threads
from mim.strategy.compiled import compile_blocks
from mim.strategy.fill import fill_from_shares, fill_from_whole
from mim.strategy.sharding import blocks, shares_in_place, unsharded


class _OfTerms(Protocol):
    term: nn.ModuleDict


@runtime_checkable
class Trains(Protocol):
    """Training, as far as a strategy cuts it up."""

    model: nn.Module
    loss: "_OfTerms | None"
    teacher: nn.Module | None
    start: nn.Module | None
    """Weights that it began from, where they are kept."""
    compiles: bool
    """Whether the step is to be compiled, which whoever cuts the model does itself."""


class FSDP(ModelParallelStrategy):
    """Every process holds a share of each block, and gathers a block's weights for as long as it
    runs.

    Under `trainer.precision=bf16-mixed` blocks are gathered in bf16, the shares and the optimiser
    stay float32, and operations choose their precision as they do on one device (autocast).

    Args:
        replicas: R groups of processes, each of which holds all weights between them; gathering
            stays within a group, and gradients are summed over all. 1 cuts them over all processes,
            the number of nodes keeps gathering within a node.
        reduce: precision that gradients are summed in over processes.
        regather: free a block's weights after its forward pass and gather them again for the
            backward one; without it a step sends a quarter less (in float32 a third) and keeps the
            gathered weights in memory.

    Raises:
        ValueError: where the replicas do not divide the processes.
    """

    def __init__(
        self,
        replicas: Count = 1,
        reduce: Literal["float32", "bfloat16"] = "float32",
        regather: bool = True,
    ):
        super().__init__(save_distributed_checkpoint=True)
        self.replicas, self.reduce_dtype, self.regather = replicas, DTYPES[reduce], regather
        self._while_validating = ExitStack()

    def setup_environment(self) -> None:
        """Start the processes' group, and lay the processes out in groups that hold all weights
        between them.
        """
        renew_threads()
        self._data_parallel_size, self._tensor_parallel_size = (
            self.num_nodes * self.num_processes,
            1,
        )
        super().setup_environment()
        shares, rest = divmod(self.world_size, self.replicas)
        if rest:
            allowed = [n for n in range(1, self.world_size + 1) if self.world_size % n == 0]
            raise ValueError(
                f"trainer.strategy.replicas={self.replicas} does not divide {self.world_size} "
                "process(es); "
                f"allowed: {', '.join(map(str, allowed))}"
            )
        size, names = (
            ((shares,), ("share",))
            if self.replicas == 1
            else ((self.replicas, shares), ("replica", "share"))
        )
        self.layout = init_device_mesh(self.root_device.type, size, mesh_dim_names=names)

    def setup(self, trainer: L.Trainer) -> None:
        """Cut the model up before the optimiser is built: it is to hold shares.

        Raises:
            ValueError: where an average of the weights is wanted: it is kept whole, and was copied
                before this.
        """
        if any(isinstance(callback, WeightAveraging) for callback in callbacks_of(trainer)):
            raise ValueError(
                "callback=[weight_average,...] keeps whole weights, and trainer=fsdp cuts them up; "
                "use trainer=ddp"
            )
        bf16 = trainer.precision == "bf16-mixed"
        policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16 if bf16 else None,
            reduce_dtype=self.reduce_dtype if bf16 else None,
            cast_forward_inputs=False,  # autocast does, and boxes of crops are to stay as they are
        )
        task = self._task
        # One graph cannot hold the gathering, which stands between the blocks.
        compiles, task.compiles = task.compiles, False
        for model in self._cut:
            # What no backward pass goes through, a teacher, is not cut up again by one.
            trained = any(p.requires_grad for p in model.parameters())
            if compiles:
                compile_blocks(blocks(model))
            for block in blocks(model):
                again = self.regather or not trained
                fully_shard(block, mesh=self.layout, mp_policy=policy, reshard_after_forward=again)
            fully_shard(
                model,
                mesh=self.layout,
                mp_policy=policy,
                reshard_after_forward=None if trained else True,
            )
        for term in self._learned:
            fully_shard(term, mesh=self.layout)  # in float32, as a loss is
        # our parent's wants to be given the cuts by each task's configure_model
        Strategy.setup(self, trainer)

    def on_validation_start(self) -> None:
        """Held-out images are dealt out without padding, so one process may have a batch more than
        another: let each run alone.
        """
        for model in self._cut:
            self._while_validating.enter_context(unsharded(model))

    def on_validation_end(self) -> None:
        """Put the shares back in the place of whole weights."""
        self._while_validating.close()

    def lightning_module_state_dict(self) -> Saved:
        """Weights of a checkpoint: shares, also of a run that stops while all weights are gathered
        to judge them.
        """
        with shares_in_place():
            return super().lightning_module_state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> Saved:
        """The optimiser's of a checkpoint, alike."""
        with shares_in_place():
            state = super().optimizer_state(optimizer)
        return {**state, "state": in_tensors(state["state"])}

    def save_checkpoint(
        self, checkpoint: Saved, filepath: str | Path, storage_options: object = None
    ) -> None:
        """Write each process's share.

        Raises:
            OSError: where the disk does not take it; says what survives.
        """
        rest = dict(checkpoint)
        states = rest.pop("optimizer_states", [])
        tensors = {"state_dict": rest.pop("state_dict")} | {
            f"optimizer_{i}": s["state"] for i, s in enumerate(states)
        }
        write_sharded(
            tensors,
            rest | {"optimizer_groups": [state["param_groups"] for state in states]},
            Path(filepath),
        )

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> Saved:
        """Fill weights and optimiser from a checkpoint of any number of processes, and return the
        rest of it.
        """
        if is_sharded(checkpoint_path):
            return fill_from_shares(self._network, self.optimizers, checkpoint_path)
        whole = self.checkpoint_io.load_checkpoint(checkpoint_path)
        return fill_from_whole(self._network, self.optimizers, whole)

    @property
    def _learned(self) -> list[nn.Module]:
        """Terms of the loss with weights of their own (MSN's prototypes): they are in no model."""
        loss = self._task.loss
        terms = [] if loss is None else loss.term.values()
        return [term for term in terms if any(p.requires_grad for p in term.parameters())]

    @property
    def _network(self) -> nn.Module:
        assert self.model is not None
        return self.model

    @property
    def _task(self) -> Trains:
        task = self.lightning_module
        assert isinstance(task, Trains)
        return task

    @property
    def _cut(self) -> list[nn.Module]:
        """What is cut: every task trains a `model`; a teacher may follow it, or its start be
        kept.
        """
        task = self._task
        return [task.model, *(other for other in (task.teacher, task.start) if other is not None)]
