"""How the features of a checkpoint are judged; as a function it judges one (door/run.py)."""

import sys

from mim.room import Callable

sys.modules[__name__].__class__ = Callable
