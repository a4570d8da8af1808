"""Where a network looked in each training image, kept to decide what to hide (AMT, arXiv
2211.15362).
"""

import platform
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from mim.batch import Batch
from mim.masker.crop_map import cut_map
from mim.masker.score.ranking import min_max
from mim.part import Part

Heads = Literal["mean_first", "stretch_first"]


def attention_weights(row: Tensor, heads: Heads = "mean_first") -> Tensor:
    """Weights of patches (B, L) in [0, 1]: what the cls token attends to head by head (B, A, L),
    made one map.

    `mean_first` takes the mean over heads and stretches it to [0, 1] (AMT, arXiv 2211.15362,
    equation 4). `stretch_first` stretches each head and takes the mean (guijiejie/AMT,
    mae-AMT/util/misc.py: update_mask), which is another map: a head counts by the shape of its
    attention, not by how much of it goes to patches. There, a constant head counts 0.
    """
    row = row.float()
    return min_max(row).mean(dim=1) if heads == "stretch_first" else min_max(row.mean(dim=1))


class AttentionStore(Part, nn.Module):
    """One map per training image. Before it is filled, and for images that are not trained on, all
    patches weigh the same.

    Where a teacher has just looked at the very views that are masked, that is the map (AttMask with
    iBOT: arXiv 2203.12719, section 3.2), and none is kept. The maps are no buffer: they are not
    weights, and DDP would send them round in every step.

    Args:
        heads: how the heads' attention becomes one map: `mean_first` (AMT's paper) or
            `stretch_first` (AMT's release).
    """

    maps: Tensor | None
    """(N, rows, columns) float16, each over the whole image; a file mapped into memory, or its copy
    on a GPU.
    """
    live: bool
    """Whether batches bring a teacher's attention, so that nobody needs to fill the store."""

    def __init__(self, heads: Heads = "mean_first") -> None:
        super().__init__()
        self.heads: Heads = heads
        self.maps, self.live = None, False

    def begin_epoch(self, epoch: int) -> None:
        """See that somebody fills the store.

        Raises:
            ValueError: where nobody does: what is hidden would be random, without a word.
        """
        if self.maps is None and not self.live:
            raise ValueError(
                "the masker hides by attention, and no callback looks where the network attends; "
                "add refresh_attention, e.g. "
                "callback=[refresh_attention,checkpoint,results], or take a masker that needs none "
                "(masker=random)"
            )

    def open(self, file: str | Path, device: torch.device) -> None:
        """Use the maps in a file. On a CPU only what is looked up is read; a GPU gets a copy, so
        that no step waits for the host.

        Args:
            file: of (N, rows, columns) float16, as `write` leaves it.
            device: where images are.
        """
        self.maps = torch.from_numpy(np.load(file, mmap_mode="c")).to(device)

    @staticmethod
    def write(file: str | Path, maps: Tensor) -> None:
        """Write maps (N, rows, columns) as float16; a file that is in use stays as it is for those
        who use it.
        """
        file = Path(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        # several computers may write to one disk
        partial = file.with_name(f".{platform.node()}.{file.name}.partial")
        with partial.open("wb") as stream:
            np.save(stream, maps.half().cpu().numpy())
        partial.replace(file)

    def forward(self, batch: Batch, grid: tuple[int, int]) -> Tensor:
        """The weights of B images on a grid of L patches, cropped and mirrored as the images were:
        (B, L) in [0, 1].
        """
        rows, columns = grid
        if self.live and batch.attention is not None:
            seen = batch.attention.float()
            if seen.shape[2:] != grid:  # cells of patches
                seen = adaptive_avg_pool2d(seen, grid)
            return attention_weights(seen.flatten(2), self.heads)
        if self.maps is None or not self.training:
            return torch.ones(len(batch.index), rows * columns, device=batch.index.device)
        height, width = batch.image.shape[-2:]
        pixels = max(1, height // rows), max(1, width // columns)
        with torch.autocast(batch.index.device.type, enabled=False):
            return cut_map(self.maps[batch.index].float(), batch.box, batch.flip, grid, pixels)
