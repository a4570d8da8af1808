"""How the features of a checkpoint are judged.

As a function it judges one (command/from_python.py).
"""

import sys

from mim.room import Callable

sys.modules[__name__].__class__ = Callable
