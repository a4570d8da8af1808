"""Held-out images that two processes cannot share equally."""

from torch.utils.data import DataLoader

from mim.batch import Batch
from mim.data.digits import Digits


class Uneven(Digits):
    """Digits with 129 held-out images: in batches of 64 one of two processes has a batch more than
    the other.
    """

    def val_dataloader(
        self, limit: int | None = 129, first_classes: int | None = None
    ) -> DataLoader[Batch]:
        """Held-out images."""
        return super().val_dataloader(limit, first_classes)
