"""Members of tar files: what Python's own reader finds in sound files, and refusals where that one
ends early without a word.
"""

import io
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mim.data import tar
from mim.data.names import Names

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
NAMES = ["a.jpg", "./deep/" * 12 + "b.jpg", "x" * 99, "y" * 100, "é ünïcode.jpg", "a b=c,d'.cls"]
LONG = ["z" * 300, "/".join(["folder"] * 60) + "/c.png"]


def members(file):
    with file.open("rb") as stream:
        return list(tar.members(stream))


def write(file, names, form):
    with tarfile.open(file, "w", format=FORMATS[form]) as archive:
        folder = tarfile.TarInfo("folder/")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number, name in enumerate(names):
            member = tarfile.TarInfo(name)
            member.size = 511 + number
            archive.addfile(member, io.BytesIO(bytes([number]) * member.size))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, names[-1]
        archive.addfile(link)
    return file


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_of_pythons_own_reader(tmp_path, form):
    file = write(tmp_path / "x.tar", NAMES + (LONG if form != "ustar" else []), form)
    with tarfile.open(file) as archive:
        theirs = [
            (m.name.encode("utf-8", "surrogateescape"), m.offset_data, m.size)
            for m in archive
            if m.isreg()
        ]
    assert [tuple(member) for member in members(file)] == theirs


def test_more_than_eight_gigabytes_are_a_size(tmp_path):
    file = write(tmp_path / "x.tar", ["a.jpg"], "gnu")
    content = bytearray(file.read_bytes())
    content[512 + 124 : 512 + 136] = b"\x80" + (2**40).to_bytes(11, "big")
    file.write_bytes(sealed(content, 512))
    with pytest.raises(
        ValueError, match="a member of 1,099,511,627,776 bytes ends behind the file"
    ):
        members(file)


def sealed(content, at):
    """With the right sum of a header that was changed."""
    content[at + 148 : at + 156] = b" " * 8
    content[at + 148 : at + 156] = f"{sum(content[at : at + 512]):06o}\0 ".encode()
    return bytes(content)


@pytest.mark.parametrize("form", FORMATS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    at=st.floats(0, 1, exclude_max=True),
    bits=st.integers(1, 255),
    how=st.sampled_from(["flip", "cut", "zeros"]),
)
def test_damage_never_hides_a_member(tmp_path, form, at, bits, how):
    """A flipped byte, a cut or a block of zeros: refused, or all members are there; a name or the
    content may be another.
    """
    file = write(tmp_path / "x.tar", NAMES, form)
    whole, count = file.read_bytes(), len(members(file))
    place = int(at * len(whole))
    block = place // 512 * 512
    file.write_bytes(
        {
            "flip": whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :],
            "cut": whole[:place],
            "zeros": whole[:block] + bytes(512) + whole[block + 512 :],
        }[how]
    )
    try:
        found = len(members(file))
    except ValueError:
        found = count
    assert found == count


def test_names_take_as_much_memory_as_they_have_bytes():
    names = Names.of([b"a" * 10**6, b"", *[b"b.jpg"] * 1000])
    assert (len(names), names[0], names[1], names[1001]) == (1002, b"a" * 10**6, b"", b"b.jpg")
    assert names.text.nbytes + names.end.nbytes < 1.1e6
    assert names.sound()
    names.end[5] = 10**9
    assert not names.sound()
    assert Names.of([]).sound()
