"""A sharded checkpoint that somebody else has made: its `.metadata` is a pickle, and nothing that
it names is looked up.
"""

import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.distributed.checkpoint.metadata import TensorProperties

from mim.checkpoint.sharded import read_sharded_weights, shapes
from tests.security.files import CONFIG, write_sharded

WEIGHT = "state_dict.model.head.weight"


@pytest.fixture
def folder(tmp_path):
    return write_sharded(tmp_path, CONFIG)


def edit(folder: Path, change) -> None:
    file = folder / ".metadata"
    metadata = pickle.loads(file.read_bytes())
    change(metadata)
    file.write_bytes(pickle.dumps(metadata))


def refused(folder: Path) -> str:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 (each line is looked at by who asks for it)
        read_sharded_weights(folder)
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)
    return str(refusal.value)


class Command:
    def __init__(self, trap: Path):
        self.trap = trap

    def __reduce__(self):
        return os.system, (f"touch {self.trap}",)


def test_an_honest_folder_is_read(folder):
    assert shapes(folder)["model.head.weight"] == (10, 16)
    assert read_sharded_weights(folder)["model.head.weight"].shape == (10, 16)


@pytest.mark.parametrize(
    "where", ["state_dict_metadata", "planner_data", "storage_data", "storage_meta", "version"]
)
def test_a_command_in_the_metadata_is_refused(folder, trap, where):
    edit(folder, lambda metadata: setattr(metadata, where, Command(trap)))
    assert "system" in refused(folder)
    assert not trap.exists()


def test_a_second_pickle_behind_the_first_is_never_read(folder, trap):
    file = folder / ".metadata"
    file.write_bytes(file.read_bytes() + pickle.dumps(Command(trap)))
    read_sharded_weights(folder)
    assert not trap.exists()


def entry(metadata):
    return metadata.state_dict_metadata[WEIGHT]


def info(metadata):
    return next(value for key, value in metadata.storage_data.items() if key.fqn == WEIGHT)


CHANGES = {
    "no chunks": lambda m: entry(m).chunks.clear(),
    "a chunk twice": lambda m: entry(m).chunks.append(entry(m).chunks[0]),
    "a chunk too small": lambda m: setattr(entry(m).chunks[0], "sizes", torch.Size([9, 16])),
    "a chunk outside": lambda m: setattr(entry(m).chunks[0], "offsets", torch.Size([1, 0])),
    "too large": lambda m: setattr(entry(m), "size", torch.Size([10**9, 16])),
    "far too large": lambda m: setattr(entry(m), "size", torch.Size([2**50, 2**10])),
    "wider numbers": lambda m: setattr(entry(m), "properties", TensorProperties(torch.complex128)),
    "another number of sides": lambda m: setattr(entry(m), "size", torch.Size([160])),
    "a file above": lambda m: setattr(info(m), "relative_path", "../secret"),
    "a file elsewhere": lambda m: setattr(info(m), "relative_path", "/etc/passwd"),
    "no file": lambda m: setattr(info(m), "relative_path", "__9_9.distcp"),
    "the folder itself": lambda m: setattr(info(m), "relative_path", "."),
    "beyond the end": lambda m: setattr(info(m), "offset", 10**9),
    "a negative place": lambda m: setattr(info(m), "offset", -1),
    "a place in words": lambda m: setattr(info(m), "length", "long"),
    "packed": lambda m: setattr(info(m), "transform_descriptors", ["zstd"]),
    "no paths": lambda m: setattr(m, "planner_data", None),
    "a path too few": lambda m: m.planner_data.pop(WEIGHT),
    "a path of numbers": lambda m: m.planner_data.update({WEIGHT: (1, 2)}),
    "no path": lambda m: m.planner_data.update({WEIGHT: ()}),
    "a path too deep": lambda m: m.planner_data.update({WEIGHT: ("a",) * 10**4}),
    "no storage": lambda m: setattr(m, "storage_data", {}),
    "not its own": lambda m: setattr(m, "storage_data", [1, 2]),
    "a list": lambda m: setattr(m, "state_dict_metadata", []),
    "a number": lambda m: m.state_dict_metadata.update({WEIGHT: 7}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_the_folder_does_not_hold_is_refused(folder, what):
    edit(folder, CHANGES[what])
    refused(folder)


def test_a_tuple_in_tuples_does_not_hang(folder):
    knot = ()
    for _ in range(100):
        knot = (knot, knot)
    (folder / ".metadata").write_bytes(pickle.dumps({"a": knot}).replace(b"\x8c\x01a", b"", 1))
    refused(folder)


def test_pipes_are_refused(folder):
    chunk = next(folder.glob("*.distcp"))
    chunk.unlink()
    os.mkfifo(chunk)
    assert "is a pipe" in str(refused_anyhow(folder))


def refused_anyhow(folder: Path) -> ValueError:
    with pytest.raises(ValueError, match="pipe") as refusal:
        read_sharded_weights(folder)
    return refusal.value


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(at=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255), cut=st.booleans())
def test_a_flipped_byte_or_a_cut_is_refused_or_harmless(folder, at, bits, cut):
    file = folder / ".metadata"
    whole = file.read_bytes()
    place = int(at * len(whole))
    file.write_bytes(
        whole[:place] if cut else whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
    )
    try:
        shapes(folder)
    except ValueError as refusal:
        line = str(refusal)
    else:
        line = ""
    finally:
        file.write_bytes(whole)
    assert "\n" not in line
