"""Three ways to multiply, and how far from the published numbers each may lead."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """Limits are on max |a - b| / max |b|; losses are relative."""

    name: str
    tf32: bool
    autocast: bool
    output: float
    loss: float
    gradient: float

    @contextmanager
    def products(self) -> Iterator[None]:
        """Matrix products and convolutions with or without TF32."""
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = self.tf32
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """Compute in it."""
        with self.products(), torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            yield


# float32 as on a CPU (tests/parity). TF32 keeps 10 bits of a factor and bf16 7, a rounding of
# 2**-11 and 2**-8: a few roundings one after another. A gradient goes back through them as well,
# and where the loss is the absolute error it changes its sign where a prediction rounds to the
# other side of its target: 1e-1 in TF32 on an H200, and 6e-4 without.
PRECISIONS = {
    p.name: p
    for p in (
        Precision("float32", tf32=False, autocast=False, output=2e-5, loss=1e-5, gradient=1e-4),
        Precision("tf32", tf32=True, autocast=False, output=5e-3, loss=1e-3, gradient=1.5e-1),
        Precision("bf16", tf32=False, autocast=True, output=4e-2, loss=1e-2, gradient=2e-1),
    )
}
