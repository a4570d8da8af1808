"""Go on in the middle of a schedule from somebody else's checkpoint, as if the run had got
there.
"""

from collections.abc import Mapping
from pathlib import Path

import pytorch_lightning as L
from pytorch_lightning.utilities import rank_zero_only
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from mim.checkpoint.resume import checkpoint_file
from mim.part import Saved
from mim.run.position import begin_at
from mim.run.training_data import data_of
from mim.weights.official_optimizer import official_training


class StartEpoch(L.Callback):
    """Epoch counter, schedules and optimiser of a run that begins with an epoch other than its
    first.

    The epoch that begins has the order, the keys and the masker that it has in every run, and the
    learning rate that the schedule of all epochs has there. AdamW's moments are taken from a
    checkpoint of the official MAE; with any other weights they start anew, and the line says so.

    Args:
        epoch: that begins, counted from 0: after the official `checkpoint-100.pth`, 101.
        source: the checkpoint that the weights came from.

    Raises:
        ValueError: where the file says that it stands elsewhere, or the training has no such epoch.
    """

    def __init__(self, epoch: int, source: str):
        self.epoch, self.source, self._moments = epoch, source, {}
        if Path(source).is_file():
            theirs = official_training(checkpoint_file(source))
            if theirs.epoch is not None and theirs.epoch + 1 != epoch:
                raise ValueError(
                    f"start_epoch={epoch}, and {source} has finished epoch {theirs.epoch} (counted "
                    "from 0); "
                    f"use start_epoch={theirs.epoch + 1}"
                )
            self._moments = theirs.moments

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Move everything there, once weights are loaded and the optimiser is built."""
        if self.epoch >= (trainer.max_epochs or 0):
            raise ValueError(
                f"start_epoch={self.epoch} leaves nothing of epochs={trainer.max_epochs}; epochs "
                "counts those that are done too"
            )
        if any(isinstance(parameter, DTensor) for parameter in pl_module.parameters()):
            raise ValueError(
                "start_epoch= needs whole weights, and trainer=fsdp cuts them up; use trainer=ddp"
            )
        moments = "the optimiser's moments start at zero: there are none to take"
        if self._moments:
            _take(self._moments, trainer.optimizers[0], pl_module, self.source)
            moments = f"the optimiser's moments of {len(self._moments)} tensors taken over"
        step = begin_at(trainer, data_of(trainer), self.epoch)
        rank_zero_only(print)(
            f"{'start':<14}epoch {self.epoch} (counted from 0) of {trainer.max_epochs:,}, after "
            f"{step:,} steps; {moments}"
        )


def _take(
    moments: Mapping[str, Saved], optimizer: Optimizer, module: nn.Module, source: str
) -> None:
    """Give the parameters of our optimiser the moments that belong to their names."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    trained = [(names[id(p)], p) for group in optimizer.param_groups for p in group["params"]]
    ours = {name: tuple(parameter.shape) for name, parameter in trained}
    theirs = {name: tuple(state["exp_avg"].shape) for name, state in moments.items()}
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{source}: its optimiser's {name} is {theirs.get(name, 'absent')}, and "
                f"{ours.get(name, 'absent')} here; "
                "choose the encoder and the decoder that it was trained with"
            )
    state = optimizer.state_dict()
    state["state"] = {number: moments[name] for number, (name, _) in enumerate(trained)}
    optimizer.load_state_dict(state)
