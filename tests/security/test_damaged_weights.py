"""Weights that are damaged, or larger than their file, or no numbers: refused in one line, before
they are used.
"""

import os
import zipfile

import pytest
import torch

from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.weights.read import read_weights
from tests.security.files import CONFIG, tensors, write_ckpt

NORM = "model.encoder.norm.weight"


def refused(file, said):
    with pytest.raises(ValueError, match=said) as refusal:
        read_weights(file)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.full((16,), float("nan")), "holds NaN or infinity"),
        (torch.full((16,), float("-inf")), "holds NaN or infinity"),
        (torch.full((16,), float("inf"), dtype=torch.bfloat16), "holds NaN or infinity"),
        (torch.full((16,), float("nan")).to(torch.float8_e5m2), "holds NaN or infinity"),
        (torch.ones(16, dtype=torch.int64), "is int64, and weights are real numbers"),
        (torch.ones(16, dtype=torch.bool), "is bool, and weights are real numbers"),
        (torch.ones(16, dtype=torch.complex64), "is complex64, and weights are real numbers"),
        (torch.ones(1).expand(10**12), "larger than what the file holds"),
        (torch.ones(1).expand(10**6, 10**6), "larger than what the file holds"),
        (torch.ones(16).to_sparse(), "sparse, quantised or larger"),
        (
            torch.quantize_per_tensor(torch.ones(16), 0.1, 0, torch.qint8),
            "sparse, quantised or larger",
        ),
        (torch.ones(16, device="meta"), "sparse, quantised or larger"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_weight_is_refused(tmp_path, value, said):
    torch.save({"state_dict": tensors() | {NORM: value}}, tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", said)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_wrong_checksum_is_found_on_opening(tmp_path, share):
    file = write_ckpt(tmp_path, CONFIG)
    with zipfile.ZipFile(file) as archive:
        entries = sorted(
            (e for e in archive.infolist() if e.file_size > 64), key=lambda e: e.header_offset
        )
        entry = entries[int(share * len(entries))]
    content = bytearray(file.read_bytes())
    content[entry.header_offset + 64 + 64] ^= 1
    file.write_bytes(content)
    refused(file, "damaged")
    with pytest.raises(ValueError, match="damaged"):
        AtomicCheckpointIO().load_checkpoint(file)


def test_a_packed_archive_is_refused(tmp_path):
    file = write_ckpt(tmp_path, CONFIG)
    with (
        zipfile.ZipFile(file) as old,
        zipfile.ZipFile(tmp_path / "y.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    refused(tmp_path / "y.ckpt", "is packed")


def test_a_program_is_refused_as_one(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "x.pt"))
    refused(tmp_path / "x.pt", "is a program .TorchScript., which is not run")


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.ckpt")
    refused(tmp_path / "x.ckpt", "is a pipe, a socket or a device")
    refused("/dev/zero", "is a pipe, a socket or a device")
