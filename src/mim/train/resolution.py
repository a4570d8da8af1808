"""Resolution of training images that grows while a model is trained (FastSSL's progressive
training, DailyMAE, arXiv 2404.00509).
"""

from typing import Annotated

from torch import Tensor, nn
from torch.nn.functional import interpolate

from mim.batch import Batch
from mim.geometry import Geometry, by
from mim.optim.number import NumberSchedule, Varying
from mim.ranges import Count, SomeShare, refuse_outside

SideShare = Annotated[SomeShare, "e.g. 0.75"]


class Resolution(Varying, nn.Module):
    """Images of a step made smaller, so that it costs less: positions of encoder and decoder are
    resized to the grid.

    The release goes through 160, 192 and 224 pixels in equal stages (erow/FastSSL, util/dres.py:
    DEFAULT_SCHEME 2). What a step has follows from the step alone, so a resumed run goes on as it
    would have. Crops, flips and the keys of masks stay what they are at full size; crops are made
    at full size and then shrunk, as by one resizing to the smaller side or nearly so. Judges and
    pictures see images of full size.

    Args:
        share: of the pixels of a side; a number, or a schedule of it (`mim.optim.number`).
        multiple: what sides are rounded to, at least once: the patch size times the cells of a
            mask, or more for fewer stages.
    """

    share: float

    def __init__(self, share: SideShare | NumberSchedule, multiple: Count):
        super().__init__()
        self.multiple = multiple
        self.vary(share=share)

    def check_numbers(self) -> None:
        """Refuse a share of nothing, and of more than there is."""
        refuse_outside("Resolution.share", self.share, SideShare)

    def check_geometry(self, geometry: Geometry) -> None:
        """Refuse sides that are not reached, or that patches do not tile.

        Raises:
            ValueError: where `multiple` does not divide the images, or the patches not `multiple`,
                or no smaller side is a multiple.
        """
        divides = all(whole % self.multiple == 0 for whole in geometry.image_size)
        if not divides or any(self.multiple % patch for patch in geometry.patch_size):
            raise ValueError(
                f"resolution.multiple={self.multiple} does not divide images of "
                f"{by(geometry.image_size)} pixels into whole "
                f"patches of {by(geometry.patch_size)}; take the patch size, or a multiple of it "
                "that divides them"
            )

        if all(whole == self.multiple for whole in geometry.image_size):
            raise ValueError(
                f"resolution.multiple={self.multiple} leaves images of {by(geometry.image_size)} "
                "pixels as they are; take less, e.g. "
                f"resolution.multiple={max(geometry.patch_size)}"
            )

    def side(self, whole: int) -> int:
        """Pixels of a side now, of as many at full size."""
        return max(1, round(whole * self.share / self.multiple)) * self.multiple

    def forward(self, batch: Batch) -> Batch:
        """Batch of one view (B, C, H, W) -> the same of (B, C, h, w), antialiased and bicubic; as
        it is where sides are whole.
        """
        return batch.with_image(self.shrunk(batch.image))

    def shrunk(self, image: Tensor) -> Tensor:
        """Images (B, C, H, W) -> (B, C, h, w)."""
        height, width = image.shape[-2:]
        size = self.side(height), self.side(width)
        if size == (height, width):
            return image
        return interpolate(image.float(), size, mode="bicubic", antialias=True, align_corners=False)
