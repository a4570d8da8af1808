"""Look at every training image now and then, to know which patches the network attends to (AMT,
arXiv 2211.15362).
"""

import time
from pathlib import Path

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from mim.encoder.encoder import AttentionEncoder, Encoder, attending, cls_attention
from mim.masker.attention_store import AttentionStore, Heads, attention_weights
from mim.part import Saved
from mim.ranges import Count, in_range
from mim.run.stoppable import until_stopped
from mim.run.training_data import data_of
from mim.strategy.sharding import unsharded
from mim.train.training import Training
from mim.weights.load import open_encoder


class RefreshAttention(L.Callback):
    """Fill the attention stores of a run's maskers every n epochs; where no masker has one, do
    nothing.

    The encoder sees each training image once, whole and not augmented, over all processes, and all
    of them get all maps. A checkpoint carries the maps, because the weights that made them are gone
    when it is resumed.

    Args:
        file: where the maps are kept.
        every_n_epochs: how often, before the first step of an epoch.
        first_epoch: the first epoch, counted from 0, that uses them; null: `every_n_epochs`. With
            40 and null, maps are made from the weights after 40, 80, ... epochs and used in epochs
            40 to 79, 80 to 119, ... (AMT's paper: every 40 epochs). AMT's release looks one epoch
            later: first_epoch=41, with masker.at_epoch=41.
        attention_from: fill them once, before training, from the encoder of this checkpoint
            instead.
    """

    @in_range
    def __init__(
        self,
        file: str,
        every_n_epochs: Count = 40,
        attention_from: str | None = None,
        first_epoch: Count | None = None,
    ):
        self.file, self.every_n_epochs, self.attention_from = (
            Path(file),
            every_n_epochs,
            attention_from,
        )
        self.first_epoch = every_n_epochs if first_epoch is None else first_epoch
        self.maps: Tensor | None = None  # (N, rows, columns) float16, once there are stores
        self.looked_at_epoch = 0

    def state_dict(self) -> dict[str, object]:
        """The maps go into the checkpoint."""
        return {"maps": self.maps, "looked_at_epoch": self.looked_at_epoch}

    def load_state_dict(self, state_dict: Saved) -> None:
        """A resumed run goes on with the maps that it had."""
        self.maps, self.looked_at_epoch = state_dict["maps"], state_dict["looked_at_epoch"]

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Open the stores: with the maps of the checkpoint, of another model, or all alike. Look,
        if it is time.

        Raises:
            ValueError: where images cannot be told apart over epochs, are others than before, the
                encoder has no cls attention, or maskers want different maps.
        """
        if self.attention_from:
            for part in pl_module.modules():
                # by another model's attention, though a teacher looks
                if isinstance(part, AttentionStore):
                    part.live = False
        if not _stores(pl_module):
            self.maps = None
            return
        self._heads(pl_module)
        data = data_of(trainer)
        if not data.stable_index:
            raise ValueError(
                f"{type(data).__name__} streams shards, whose images have no stable index to keep "
                "attention by; "
                "use a set of files (data=imagenet), or a masker that keeps none (masker=sbm)"
            )
        if self.maps is not None:
            if len(self.maps) != data.train_size:
                raise ValueError(
                    f"the checkpoint keeps attention of {len(self.maps):,} images, the training "
                    f"set has {data.train_size:,}; "
                    "resume with the data that the run was started with (its config.yaml)"
                )
            self._keep(trainer, pl_module, self.maps)
        elif self.attention_from:
            encoder, _ = open_encoder(
                self.attention_from,
                data.image_size,
                channels=pl_module.model.encoder.geometry.channels,
            )
            self._refresh(trainer, pl_module, _attending(encoder).to(pl_module.device))
        else:
            _attending(pl_module.model.encoder)
            self._keep(
                trainer,
                pl_module,
                torch.ones(data.train_size, *pl_module.model.encoder.geometry.grid).half(),
            )
        self._look_if_due(trainer, pl_module, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Look again, if it is time, for the epoch that comes next; here a checkpoint can be
        written if a signal stops it.
        """
        if trainer.current_epoch + 1 < (trainer.max_epochs or 0):
            self._look_if_due(trainer, pl_module, trainer.current_epoch + 1)

    def _look_if_due(self, trainer: L.Trainer, pl_module: Training, epoch: int) -> None:
        due = (
            epoch - (epoch - self.first_epoch) % self.every_n_epochs
            if epoch >= self.first_epoch
            else 0
        )
        if self.maps is not None and not self.attention_from and due > self.looked_at_epoch:
            self._refresh(trainer, pl_module, _attending(pl_module.model.encoder))
            self.looked_at_epoch = due

    def _refresh(self, trainer: L.Trainer, pl_module: Training, encoder: AttentionEncoder) -> None:
        start = time.perf_counter()
        was_training = encoder.training
        encoder.eval()
        with unsharded(encoder):
            maps = self._look(trainer, pl_module, encoder)
        encoder.train(was_training)
        self._keep(trainer, pl_module, maps)
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(
                    {"attention/refresh_seconds": time.perf_counter() - start}, trainer.global_step
                )

    @torch.no_grad()
    def _look(self, trainer: L.Trainer, pl_module: Training, encoder: AttentionEncoder) -> Tensor:
        """Attention of all training images: (N, rows, columns) float16, on every process."""
        data = data_of(trainer)
        index, maps, heads = [], [], self._heads(pl_module)
        for batch in until_stopped(data.unaugmented_dataloader(), trainer, pl_module):
            batch = trainer.strategy.batch_to_device(batch, pl_module.device)
            with trainer.precision_plugin.forward_context():
                row = cls_attention(encoder, batch.image)
            maps.append(attention_weights(row, heads).half())
            index.append(batch.index)
        found, place = torch.cat(maps), torch.cat(index)
        if trainer.world_size > 1:
            found, place = (torch.cat(gather_all_tensors(part)) for part in (found, place))
        everything = torch.ones(data.train_size, found.shape[1], dtype=torch.float16)
        everything[place.cpu()] = found.cpu()  # an unreadable picture keeps its ones
        return everything.unflatten(1, encoder.geometry.grid)

    def _heads(self, pl_module: Training) -> Heads:
        found = {store.heads for store in _stores(pl_module)}
        if len(found) > 1:
            raise ValueError(
                "the maskers of a run share one file of maps and ask for "
                f"heads={' and '.join(sorted(found))}; "
                "give all of them one, e.g. masker.first.score.store.heads=mean_first "
                "masker.then.score.store.heads=mean_first"
            )
        return found.pop()

    def _keep(self, trainer: L.Trainer, pl_module: Training, maps: Tensor) -> None:
        """Write the maps, once on each computer, and open them on each process."""
        if trainer.local_rank == 0:
            AttentionStore.write(self.file, maps)
        trainer.strategy.barrier("attention is written")
        for store in _stores(pl_module):
            store.open(self.file, pl_module.device)
            self.maps = store.maps


def _stores(module: nn.Module) -> list[AttentionStore]:
    """Stores that are to be filled: those that a teacher's attention comes to fill themselves."""
    return [part for part in module.modules() if isinstance(part, AttentionStore) and not part.live]


def _attending(encoder: Encoder) -> AttentionEncoder:
    return attending(
        encoder,
        "so its attention cannot decide what to hide; use encoder=vit_base or beit_base, "
        "attention_from=<a checkpoint of one>, or a masker that needs none (masker=random_cell)",
    )
