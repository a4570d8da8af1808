"""The state of an optimiser: one process numbers its parameters, in the order of its groups; many
processes call them by name.
"""

from collections.abc import Sequence

import torch

from mim.part import Saved


def in_tensors(state: Saved) -> Saved:
    """States by name, with flags (Muon's `use_muon`) as tensors: shares hold nothing else."""
    return {
        name: {
            key: torch.tensor(value) if isinstance(value, bool) else value
            for key, value in own.items()
        }
        for name, own in state.items()
    }


def by_number(state: Saved, groups: Sequence[Saved]) -> Saved:
    """States by name, and groups that hold names -> what `optimizer.load_state_dict` takes."""
    number = {
        name: k for k, name in enumerate(name for group in groups for name in group["params"])
    }
    return {
        "state": {number[name]: state[name] for name in number if name in state},
        "param_groups": [
            {**group, "params": [number[name] for name in group["params"]]} for group in groups
        ],
    }


def by_name(state: Saved, names: Sequence[Sequence[str]]) -> Saved:
    """What `optimizer.state_dict` returns, and the names of each group's parameters -> states and
    groups by name.
    """
    groups = [
        {**group, "params": list(own)}
        for group, own in zip(state["param_groups"], names, strict=True)
    ]
    called = (name for own in names for name in own)
    return {
        "state": {name: state["state"][k] for k, name in enumerate(called) if k in state["state"]},
        "param_groups": groups,
    }
