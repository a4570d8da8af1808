"""JPEG 2000 and AVIF of more than 8 bits: all of them by imagecodecs, for which another stands in,
else 8, which is said.
"""

import base64
import sys
import warnings
from importlib.machinery import ModuleSpec
from io import BytesIO
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from mim.data.decode import decode, read_values
from mim.data.levels import Reading

# of 2 rows of black, 257 of 65535 and white, in three channels or as three pixels
JPEG_2000 = base64.b85decode(
    "|4;u>051Rl000010000200000000000000100002000000000000R#J0S^HI4*>!HQUDA90003200aa80smY81VDiQWB"
    "?@q0Yh?SVRU6=AYyqSPjF>!N>D{dAa-SPb7^mGATlmBE;Rp;015yA0000c00IA#$Nmfo2x1;6Ki~L}AOWf+2f#ltFbO"
    "%||Je"
)
AVIF = base64.b85decode(
    "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002%ZDn*}000000000XXk=`10000000000aA{+700000000000"
    "0000000004sdC7Z2$lO000310016oY;R)#0000)000310RR910RR926951JApigXC~0YKW&i*H00031000_kZf0cy00"
    "0000RRADb}%tRZ)|UJ00000YH4tCZ~y=ROKEUpZvX%Q6lrsCWdHyG000000ssI20ssI25O8UDX#fBK00RmN3IG5A3}"
    "JRLLxCVb000006Ju{|a&BX6cmM(b0ssJj0000NX>e^}0000000001009I60)qqq001d%WMOm?015{<06uUaAPF)Q5C"
    "8xG5Bfe2=Qzh)BX>pGzX7~="
)


def read(content, **reading):
    return decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), Reading(**reading))


def stands_in(monkeypatch, **decoders):
    library = ModuleType("imagecodecs")
    library.__spec__ = ModuleSpec("imagecodecs", None)
    vars(library).update(decoders)
    monkeypatch.setitem(sys.modules, "imagecodecs", library)


@pytest.mark.parametrize("transparent", [False, True])
def test_all_bits_of_a_jpeg_2000_are_read(monkeypatch, transparent):
    values = np.random.default_rng(0).integers(0, 65536, (5, 4, 3 + transparent)).astype(np.uint16)
    stands_in(monkeypatch, jpeg2k_decode=lambda content: values if content == JPEG_2000 else None)
    found = read(JPEG_2000)
    expected = torch.from_numpy(values[..., :3].astype(np.float64) / 257).permute(2, 0, 1).float()
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=0, atol=4e-5)
    if transparent:
        assert read(JPEG_2000, channels=4).shape == (4, 5, 4)


def test_all_bits_of_an_avif_are_read_and_its_ten_reach_white(monkeypatch):
    grey = np.array([[0, 1, 512], [700, 1022, 1023]], np.uint16)
    stands_in(monkeypatch, avif_decode=lambda content: grey)
    found = read(AVIF, channels=1)
    assert torch.allclose(found[0], torch.from_numpy(grey / 1023 * 255).float(), atol=2e-3)
    content = torch.frombuffer(bytearray(AVIF), dtype=torch.uint8)
    assert read_values(content).values.dtype == np.uint16


@pytest.mark.parametrize(
    ("content", "said"), [(JPEG_2000, "JPEG2000 of 16 bits"), (AVIF, "AVIF of 10 bits")]
)
def test_without_the_library_eight_bits_are_read_and_that_is_said(monkeypatch, content, said):
    monkeypatch.setattr("mim.data.deep_compressed.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=f"{said} are read with 8 of them.*pip install") as warned:
        assert read(content).dtype == torch.uint8
    assert "\n" not in str(warned[0].message)


@pytest.mark.parametrize("kind", ["JPEG2000", "AVIF"])
def test_files_of_eight_bits_are_left_to_pillow(kind):
    file = BytesIO()
    Image.fromarray(np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)).save(file, kind)
    with warnings.catch_warnings(action="error"):
        found = read(file.getvalue())
    assert torch.equal(found, torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1))
