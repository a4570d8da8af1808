"""What a command line may say is what there is: programs import nothing heavy, so they have names
of their own.
"""

from mim.program import convert, export
from mim.weights.convert import WRITERS
from mim.weights.export import EXPORTERS


def test_formats_are_those_that_can_be_written():
    assert sorted(convert.FORMATS) == sorted([*WRITERS, "ckpt"])
    assert sorted(export.FORMATS) == sorted(EXPORTERS)
