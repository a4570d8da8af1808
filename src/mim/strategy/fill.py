"""Filling a model that is cut up, and its optimisers, from a checkpoint: of shares, or whole.

An optimiser keeps nothing of a parameter that it has not stepped yet (the last layer of DINO and
iBOT, frozen in the first epochs), and so it is after a run is resumed.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from mim.checkpoint.optimizer_state import by_name, in_tensors
from mim.checkpoint.sharded import read_rest, read_shares, stepped
from mim.part import Saved


def fill_from_shares(model: nn.Module, optimizers: Sequence[Optimizer], path: str | Path) -> Saved:
    """Rest of a sharded checkpoint, once each process has read its shares of weights and of the
    optimisers' state, whatever number of processes wrote them.
    """
    weights = get_model_state_dict(model)
    states = []
    for number, optimizer in enumerate(optimizers):
        state, kept = in_tensors(_state_of(model, optimizer)["state"]), stepped(path, number)
        states.append({name: own for name, own in state.items() if name in kept})
    read_shares(
        {"state_dict": weights} | {f"optimizer_{i}": state for i, state in enumerate(states)},
        path,
    )
    set_model_state_dict(model, weights)
    rest = read_rest(path)
    for optimizer, state, groups in zip(
        optimizers, states, rest.pop("optimizer_groups"), strict=True
    ):
        given = {"state": state, "param_groups": groups}
        set_optimizer_state_dict(model, optimizer, given, options=StateDictOptions(strict=False))
    return rest


def fill_from_whole(model: nn.Module, optimizers: Sequence[Optimizer], checkpoint: Saved) -> Saved:
    """Rest of a checkpoint of whole weights, once each process has taken its shares of them and of
    the optimisers' state. What is taken leaves `checkpoint`.
    """
    full = StateDictOptions(full_state_dict=True)
    some = StateDictOptions(full_state_dict=True, strict=False)
    set_model_state_dict(model, checkpoint.pop("state_dict"), options=full)
    for optimizer, state in zip(optimizers, checkpoint.pop("optimizer_states"), strict=True):
        groups = _state_of(model, optimizer)["param_groups"]
        named = by_name(state, [group["params"] for group in groups])
        set_optimizer_state_dict(model, optimizer, named, options=some)
        # what is not given stays as torch filled it, by a step of nothing
        for names, own in zip(named["param_groups"], optimizer.param_groups, strict=True):
            for name, parameter in zip(names["params"], own["params"], strict=True):
                if name not in named["state"]:
                    optimizer.state.pop(parameter, None)
    return checkpoint


def _state_of(model: nn.Module, optimizer: Optimizer) -> Saved:
    state: Saved = get_optimizer_state_dict(model, optimizer)
    return state
