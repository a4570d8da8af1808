"""What numbers may be, as hints: a composed config is held against them before anything is built
(launch/check.py).
"""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1), Lt(2**31)]
Size = Count | tuple[Count, Count]
"""Pixels per side, or (height, width)."""
NonNegativeInt = Annotated[int, Ge(0), Lt(2**31)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""What NumPy takes."""
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
Rate = Annotated[float, Ge(0), Lt(1)]
"""A share that leaves something."""
