"""Shards that somebody else has made: sizes, labels, names and caches that ask for too much, or do
not fit their file.
"""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from mim.data import tar
from mim.data.shard_index import index_of
from mim.data.shard_labels import MOST_CLASSES
from mim.data.tar import LONGEST_NAME, LONGEST_RECORDS


def picture():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    return stream.getvalue()


def shard(file, labels=(b"0", b"1"), names=("a", "b"), **settings):
    with tarfile.open(file, "w", **settings) as archive:
        for label, name in zip(labels, names, strict=True):
            for kind, content in (("png", picture()), ("cls", label)):
                member = tarfile.TarInfo(f"{name}.{kind}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return file


def refused(file, said):
    with pytest.raises(ValueError, match=said) as refusal:
        index_of([file])
    assert "\n" not in str(refusal.value)
    assert str(file) in str(refusal.value)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (b"30000000", r"says class 30,000,000; at most 262,144 classes"),
        (str(MOST_CLASSES).encode(), "says class 262,144"),
        (b"-1", "is '-1', no whole number"),
        (b"-7", "no whole number"),
        (b"1_000", "no whole number"),
        (b"", "is '', no whole number"),
        (b"\xff\xfe", "no whole number"),
        (b"9" * 31, "no whole number"),
        (b"1" + b" " * 10**6, "no whole number"),
        ("٣".encode(), "no whole number"),
    ],
)
def test_a_class_out_of_bounds_is_refused(tmp_path, label, said):
    refused(shard(tmp_path / "x.tar", (b"0", label)), said)


def test_the_highest_class_and_white_space_are_read(tmp_path):
    file = shard(tmp_path / "x.tar", (b" 12\n", str(MOST_CLASSES - 1).encode()))
    assert index_of([file]).label.tolist() == [12, MOST_CLASSES - 1]


def test_sparse_members_are_refused(tmp_path):
    file = shard(tmp_path / "x.tar")
    content = bytearray(file.read_bytes())
    content[156:157] = b"S"
    content[148:156] = b" " * 8
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    file.write_bytes(content)
    refused(file, "a member is sparse")
    with tarfile.open(tmp_path / "y.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a.png")
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "1000000000000"}
        archive.addfile(member)
    refused(tmp_path / "y.tar", "a member is sparse")


def test_a_long_name_is_refused(tmp_path):
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        refused(
            shard(tmp_path / "x.tar", names=("a", "b" * 10**5), format=form),
            "at most 4,09[67] are read",
        )
    file = shard(tmp_path / "y.tar", names=("a", "b" * (LONGEST_NAME - 4)))
    with file.open("rb") as stream:
        assert max(len(member.name) for member in tar.members(stream)) == LONGEST_NAME


def test_a_large_pax_header_takes_no_time_and_no_memory(tmp_path):
    for comment in ("x" * 400_000, "1" * 400_000, " " * 400_000, "=" * 400_000):
        file = shard(
            tmp_path / "x.tar", format=tarfile.PAX_FORMAT, pax_headers={"comment": comment}
        )
        assert len(index_of([file]).label) == 2
    file = shard(
        tmp_path / "x.tar",
        format=tarfile.PAX_FORMAT,
        pax_headers={"comment": "x" * LONGEST_RECORDS},
    )
    refused(file, "a header of .* bytes; at most")


def test_half_of_a_shard_is_no_shard(tmp_path):
    file = shard(tmp_path / "x.tar")
    whole = file.read_bytes()
    for content, said in (
        (
            whole[:2048] + bytes([whole[2048] ^ 1]) + whole[2049:],
            "the header at byte 2,048 is damaged",
        ),
        (
            whole[:2048] + bytes(512) + whole[2560:],
            "its end is marked at byte 2,048, and .* bytes follow",
        ),
        (whole[:2048], "its end is not marked"),
        (whole[:2600], "ends behind the file|not marked"),
        (whole + whole, "bytes follow"),
        (bytes(len(whole)) + whole, "bytes follow"),
        (b"", "its end is not marked"),
    ):
        file.write_bytes(content)
        refused(file, said)


def test_a_file_of_holes_is_refused(tmp_path):
    file = shard(tmp_path / "x.tar")
    with file.open("r+b") as stream:
        stream.truncate(2**40)
    refused(file, "bytes follow: it is damaged")


def test_a_pipe_is_no_shard(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    refused(tmp_path / "x.tar", "is a pipe, a socket or a device")


@pytest.mark.parametrize(
    "change",
    [
        {"offset": lambda a: a + 10**9},
        {"size": lambda a: a * 10**9},
        {"size": lambda a: -a},
        {"offset": lambda a: a - 10**9},
        {"label": lambda a: a + 3 * 10**7},
        {"label": lambda a: a - 2},
        {"label": lambda a: a[:1]},
        {"label": lambda a: a.astype(float)},
        {"label": lambda a: a[:, None]},
        {"shard": lambda a: a + 1},
        {"shard": lambda a: a - 1},
        {"end": lambda a: a + 1},
        {"end": lambda a: a[::-1]},
        {"end": lambda a: a[:0]},
        {"text": lambda a: a[:3]},
        {"text": lambda a: a.astype("U9")},
        {"text": lambda a: np.array([{"a": 1}], dtype=object)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_index_that_does_not_fit_its_shards_is_made_anew(tmp_path, change):
    file, cache = shard(tmp_path / "x.tar"), tmp_path / "cache"
    index_of([file], cache)
    (kept,) = cache.iterdir()
    with np.load(kept) as arrays:
        np.savez(
            kept, **{name: change.get(name, lambda a: a)(array) for name, array in arrays.items()}
        )
    assert index_of([file], cache).label.tolist() == [0, 1]


@pytest.mark.parametrize("content", [b"", b"no", b"PK\x03\x04" + bytes(100)])
def test_a_damaged_index_is_made_anew(tmp_path, content):
    file, cache = shard(tmp_path / "x.tar"), tmp_path / "cache"
    index_of([file], cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(content)
    assert index_of([file], cache).label.tolist() == [0, 1]
    assert index_of([file], cache).name[1] == b"b.png"
