"""What a step costs: floating-point operations and memory."""

import resource
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mim.batch import Batch, blank
from mim.encoder.encoder import Encoder
from mim.encoder.model import Model

# Dense bf16 matrix products per second, from the makers' data sheets; float32 products on these
# devices are not rated here.
_PEAK_BF16 = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
    "4090": 165e12,
}


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Floating-point operations per second that the device could do at best, where known."""
    if device.type != "cuda" or not precision.startswith("bf16"):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAK_BF16.items() if part in name), None)


@torch.no_grad()
def flops(run: Callable[[], object], images: int) -> float:
    """Floating-point operations of one image of so many that are run, matrix products and attention
    only.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / images


def forward_flops(model: Model, device: torch.device) -> float:
    """The same of a model's forward pass, where it looks at one view."""
    return flops(lambda: model(_blank(model.encoder, device)), 2)


def teacher_flops(
    teacher: Callable[[Tensor, Sequence[int]], list[Tensor]], encoder: Encoder, device: torch.device
) -> float:
    """The same of a teacher, which sees the whole image."""
    return flops(lambda: teacher(_blank(encoder, device).image, [encoder.depth]), 2)


def _blank(encoder: Encoder, device: torch.device) -> Batch:
    """Two images of the size that an encoder is for."""
    return blank(2, encoder.geometry.image_size, device, encoder.geometry.channels)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: on the GPU, or by this process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # macOS says bytes, Linux KiB
