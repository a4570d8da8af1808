"""Small pictures that live in memory: batches are indexed whole, and augmented whole on the training device."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mim.augment.resample import resized_crop
from mim.batch import Batch
from mim.data.sampler import Rows


class InMemory(Dataset[Batch]):
    """Pictures of one size.

    Args:
        image: (N, 3, H, W) uint8.
        label: (N,) int64, -1 where there is none.
        view: decides crops and flips: keys (B,) and sizes (B, 2) -> pixel boxes (B, 4) and flips (B,).
        image_size: pixels per side of what the model sees.
    """

    wants_workers = False  # indexing a tensor is faster than asking another process to do it

    def __init__(
        self, image: Tensor, label: Tensor, view: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], image_size: int
    ):
        self.image, self.label, self.view, self.image_size = image, label, view, image_size

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: Rows) -> Batch:
        """Rows (B,) -> the stored images (B, 3, H, W) uint8 and where to crop and flip them."""
        height, width = self.image.shape[-2:]
        box, flip = self.view(rows.key, torch.tensor([[height, width]]).expand(len(rows.key), 2))
        box = box / torch.tensor([width, height, width, height])
        return Batch(self.image[rows.index], self.label[rows.index], rows.index, box, flip, rows.key)

    def finish(self, batch: Batch) -> Tensor:
        """On the training device: crop, flip and resize -> (B, 3, image_size, image_size) float in 0..255."""
        return resized_crop(batch.image, batch.box, batch.flip, self.image_size).clamp(0, 255)
