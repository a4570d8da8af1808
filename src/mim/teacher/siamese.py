"""Teacher that projects one view of each image after the other (MoCo v3, arXiv 2104.02057; MSN,
arXiv 2204.07141).
"""

import torch

from mim.batch import Batch
from mim.encoder.encoder import cls_tokens
from mim.teacher.views import ViewsEMA
from mim.views import Seen


class SiameseEMA(ViewsEMA):
    """Exponential moving average of a student's encoder and head, whose batch norms go by the
    images of one view.

    MoCo v3's release averages at the beginning of a step, with the momentum of that step: a
    schedule of the momentum with `ahead`, which is averaged with after a step, gives the same.

    Args:
        student, momentum, of: as in `ViewsEMA`.
    """

    @torch.no_grad()
    def forward(self, batch: Batch, attends: bool = False) -> Seen:
        """Views of B images -> what the head makes of the first V of each."""
        tokens = cls_tokens(self.network, batch.of_views(self.views).image)
        head = self.get_submodule("head")
        return Seen(torch.stack([head(each) for each in tokens.unflatten(0, (self.views, -1))]))
