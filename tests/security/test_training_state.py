"""What a checkpoint says of its training, changed by somebody: refused in one line, before any step
is taken.
"""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import mim
from mim.checkpoint.sharded import read_rest, read_sharded
from mim.checkpoint.training_state import check_training
from tests.security.files import CONFIG, write_sharded
from tests.slow import quick

TINY = (
    *(
        "trainer=cpu",
        "encoder.width=16",
        "encoder.depth=1",
        "encoder.heads=2",
        "warmup_epochs=0",
        "images_per_step=128",
    ),
    *("callback.online_probe=null", "callback.reconstructions=null", "data.batch_size=128"),
)


@pytest.fixture(scope="module")
def honest() -> Path:
    """A run of one epoch of three."""
    return mim.train(mim.compose(*TINY, "epochs=1")).folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def content(honest) -> dict[str, Any]:
    return torch.load(honest, weights_only=True)


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """With something else at a place; without it, where that is `...`."""
    content = copy.deepcopy(content)
    *parents, last = path
    node = content
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return content


def refused(content: Any) -> str:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (each line is looked at by who asks for it)
        check_training(content, "x.ckpt")
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith("x.ckpt")
    return str(refusal.value)


def test_what_a_run_writes_passes(content):
    check_training(content, "x.ckpt")


PROGRESS = ("loops", "fit_loop", "epoch_loop.batch_progress", "total", "processed")
STATE = ("optimizer_states", 0, "state", 0, "exp_avg")
BAD = [
    (("global_step",), -1),
    (("global_step",), 2**60),
    (("global_step",), 1.5),
    (("global_step",), True),
    (("global_step",), torch.tensor(3)),
    (("epoch",), -(10**9)),
    (PROGRESS, -5),
    (PROGRESS, float("nan")),
    (PROGRESS, torch.zeros(10**6)),
    (("loops",), None),
    (("loops",), ...),
    (("lr_schedulers", 0, "last_epoch"), -7),
    (("lr_schedulers",), ...),
    (("optimizer_states",), {}),
    (("optimizer_states",), ...),
    (("optimizer_states", 0), None),
    (("optimizer_states", 0, "state"), []),
    (("optimizer_states", 0, "state", "x"), {}),
    (("optimizer_states", 0, "param_groups"), ...),
    (("optimizer_states", 0, "param_groups", 0, "lr"), float("inf")),
    (("optimizer_states", 0, "param_groups", 0, "lr"), torch.tensor(1.0)),
    (("optimizer_states", 0, "param_groups", 0, "params"), ["a"]),
    (("optimizer_states", 0, "param_groups", 0, "params"), ...),
    (STATE, torch.full((3,), float("nan"))),
    (STATE, torch.zeros(1).expand(10**12)),
    (("pace",), [1, 2, 3]),
    (("pace", "steps"), -3),
    (("said",), 7),
    (("said", "train/loss"), "low"),
    (("said", "train/loss"), [0.1]),
    (("callbacks",), []),
    (("state_dict",), {"a": 1}),
    (("state_dict",), {1: torch.zeros(1)}),
    (("state_dict", "model.encoder.norm.weight"), torch.full((16,), float("nan"))),
    (("state_dict", "model.encoder.norm.weight"), torch.ones(16, dtype=torch.bool)),
]


@pytest.mark.parametrize(("path", "value"), BAD, ids=str)
def test_what_no_run_writes_is_refused(content, path, value):
    refused(changed(content, path, value))


@pytest.mark.parametrize("content", [None, [], 7, torch.zeros(3), {}, {"state_dict": {}}])
def test_what_is_no_training_is_refused(content):
    assert "holds no training to continue: it lacks" in refused(content)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Of everything beside weights and config."""
    if path in (("config",), ("state_dict",)):
        return []
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [
        *([path] if path else []),
        *(place for key, each in items for place in places(each, (*path, key))),
    ]


odd = st.one_of(
    st.sampled_from(
        [
            ...,
            None,
            True,
            [],
            {},
            "",
            "x",
            b"x",
            -1,
            -(2**70),
            2**70,
            float("nan"),
            1j,
            {1: {2: []}},
            [[]],
        ]
    ),
    st.integers(),
    st.floats(),
    st.sampled_from([torch.zeros(2, 2), torch.tensor(float("nan")), torch.zeros(1).expand(10**9)]),
)


@given(data=st.data())
def test_any_change_passes_or_is_refused_in_a_line(content, data):
    path, value = data.draw(st.sampled_from(places(content))), data.draw(odd)
    try:
        check_training(changed(content, path, value), "x.ckpt")
    except ValueError as refusal:
        line = str(refusal)
    else:
        line = ""
    assert "\n" not in line
    assert len(line) < 1000


# What passes that check because only a library knows it: the run ends with the file's name.
STRANGE = {
    "moments of another shape": (STATE, torch.zeros(3), "exp_avg of a parameter"),
    "another optimiser": (
        ("optimizer_states", 0, "state", 0),
        {"momentum_buffer": torch.zeros(3)},
        "last.ckpt",
    ),
    "a group too many": (
        ("optimizer_states", 0, "param_groups"),
        [{"params": []}] * 9,
        "last.ckpt cannot be continued",
    ),
    "half of the loops": (("loops", "fit_loop"), {}, "last.ckpt cannot be continued"),
    "a watcher's state": (
        ("callbacks", "RefreshAttention"),
        {"maps": "x"},
        "last.ckpt cannot be continued",
    ),
    "no pace": (("pace",), {"images": 128}, "last.ckpt cannot be continued"),
    "a strange version": (("pytorch-lightning_version",), "x.y", "last.ckpt cannot be continued"),
    "a number of steps that is none": (
        ("global_step",),
        10**12,
        "are done, which is more than is asked for",
    ),
    "nan weights": (
        ("state_dict", "model.encoder.norm.weight"),
        torch.full((16,), float("nan")),
        "NaN or infinity",
    ),
}


OFTEN = ("moments of another shape", "half of the loops", "no pace", "nan weights")


@pytest.mark.parametrize("what", quick(STRANGE, *OFTEN))
def test_a_strange_training_is_named_before_its_first_step(command, content, tmp_path, what):
    path, value, said = STRANGE[what]
    torch.save(changed(content, path, value), tmp_path / "last.ckpt")
    ended = command("train", *TINY, "epochs=3", f"resume={tmp_path / 'last.ckpt'}")
    assert ended.code == 1
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.fixture
def folder(tmp_path):
    return write_sharded(tmp_path, CONFIG)


RESTS: dict[str, Any] = {
    "no optimiser": {"config": CONFIG},
    "no loops": {"config": CONFIG, "optimizer_groups": []},
    "a list": [1, 2],
    "a negative counter": {
        "loops": {"fit_loop": {"x": -1}},
        "lr_schedulers": [],
        "global_step": 1,
        "optimizer_groups": [],
    },
    "numbers for names": {
        "loops": {},
        "lr_schedulers": [],
        "global_step": 1,
        "optimizer_groups": [[{"params": [1]}]],
    },
    "no groups": {"loops": {}, "lr_schedulers": [], "global_step": 1, "optimizer_groups": None},
}


@pytest.mark.parametrize("what", RESTS)
def test_the_rest_of_a_sharded_checkpoint_is_checked(folder, what):
    torch.save(RESTS[what], folder / "rest.pt")
    with pytest.raises(ValueError, match=r"sharded\.ckpt") as refusal:
        read_sharded(folder)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"no", json.dumps({}).encode(), None])
def test_a_damaged_rest_is_named(folder, content):
    (folder / "rest.pt").unlink()
    if content is not None:
        (folder / "rest.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"rest\.pt is missing, cut off or damaged"):
        read_rest(folder)


def test_a_pipe_is_no_rest(folder):
    (folder / "rest.pt").unlink()
    os.mkfifo(folder / "rest.pt")
    with pytest.raises(ValueError, match="is a pipe"):
        read_rest(folder)
