"""Mean and deviation of a stream, in memory that does not grow with it."""

from torch import Tensor


class Moments:
    """Statistics over the first dimension of all batches together, each entry on its own.

    Batches are merged by the update of Chan, Golub and LeVeque (1979) in float64: nothing is lost
    by cancellation, and neither order nor size of the batches matters. Everything stays on the
    device of the batches, where that knows float64.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor
        self._squares: Tensor  # summed squared distances from the mean

    def add(self, batch: Tensor) -> None:
        """Take (B, ...) into account."""
        # MPS has no float64
        batch = (batch.cpu() if batch.device.type == "mps" else batch).double()
        mean, squares = batch.mean(0), batch.var(0, correction=0) * len(batch)
        if self.count == 0:
            self.count, self.mean, self._squares = len(batch), mean, squares
            return
        total = self.count + len(batch)
        apart = mean - self.mean
        self.mean = self.mean + apart * (len(batch) / total)
        self._squares = self._squares + squares + apart.square() * (self.count * len(batch) / total)
        self.count = total

    @property
    def std(self) -> Tensor:
        """Deviation among all that was added; 0 where that is one value."""
        return (self._squares / max(1, self.count - 1)).sqrt()
