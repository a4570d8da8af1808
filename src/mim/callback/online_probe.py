"""How good the features are while training goes on: classifiers on clean, held-out images."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytorch_lightning as L
import torch

from mim.batch import Batch
from mim.encoder.encoder import Encoder
from mim.evaluate.classify import ready, top1
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.feature_extractor import FeatureExtractor
from mim.evaluate.features import Judge, extract
from mim.pool.pool import Pool, Shape
from mim.ranges import Count
from mim.run.stoppable import until_stopped
from mim.run.training_data import data_of
from mim.strategy.sharding import unsharded
from mim.train.training import Training


class OnlineProbe(L.Callback):
    """Every n epochs, classify the held-out images by features of the frozen encoder; log top-1
    accuracy as `<judge>/top1`.

    Of a training with a teacher, its encoder can be judged too, or alone: `<judge>/top1_teacher`.

    Features come from whole, un-augmented images in eval mode, once for all judges. Judges have
    their own optimisers and random streams: the weights that training yields are bit-identical with
    and without them.

    Args:
        pool: what stands for an image.
        judges: classifiers by name.
        every_n_epochs: how often; also after the last epoch, and before the first for comparison.
        bank_limit: learn from at most so many training images, evenly spread over the set; null for
            all.
        held_out_limit: classify at most so many held-out images; null for all.
        of: whose encoder, student, teacher or both.

    Raises:
        ValueError: where nobody is to be judged.
    """

    def __init__(
        self,
        pool: Pool | Callable[[Shape], Pool],
        judges: Mapping[str, Judge],
        every_n_epochs: Count,
        bank_limit: Count | None = None,
        held_out_limit: Count | None = None,
        of: Sequence[Literal["student", "teacher"]] = ("student",),
    ):
        if not of:
            raise ValueError(
                "callback.online_probe.of=[] judges nobody; [student], [teacher] or "
                "[student,teacher]"
            )
        self.of = tuple(of)
        self.pool, self.judges, self.every_n_epochs = pool, judges, every_n_epochs
        self.bank_limit, self.held_out_limit = bank_limit, held_out_limit
        self.untrained: dict[str, float] = {}

    def state_dict(self) -> dict[str, dict[str, float]]:
        """A run that goes on still knows where it began."""
        return {"untrained": self.untrained}

    def load_state_dict(self, state_dict: dict[str, dict[str, float]]) -> None:
        """Take over what the untrained encoder was worth."""
        self.untrained = state_dict["untrained"]

    def on_train_start(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Judge the untrained encoder, unless training is being resumed; `Results` hands it to the
        loggers.

        Raises:
            ValueError: where a teacher is to be judged and there is none.
        """
        if "teacher" in self.of and pl_module.teacher is None:
            raise ValueError(
                f"callback.online_probe.of=[{','.join(self.of)}] judges a teacher, and there is "
                "none; add teacher=ema, "
                "or leave it out"
            )
        if trainer.global_step == 0:  # a teacher is a copy
            self.untrained = {
                f"{name}_untrained": value
                for name, value in self._judge(pl_module.model.encoder, trainer, pl_module).items()
            }
        pl_module.log_dict(self.untrained, sync_dist=True, logger=False)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Training) -> None:
        """Judge and log after every `every_n_epochs`, and after the last one."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every_n_epochs == 0 or epoch == trainer.max_epochs:
            pl_module.log_dict(self.judge(trainer, pl_module), sync_dist=True)

    def judge(self, trainer: L.Trainer, pl_module: Training) -> dict[str, float]:
        """Top-1 accuracies on the held-out images; nothing where the data set has no labels."""
        found: dict[str, float] = {}
        if "student" in self.of:
            found |= self._judge(pl_module.model.encoder, trainer, pl_module)
        if "teacher" in self.of and pl_module.teacher:
            judged = self._judge(pl_module.teacher.network, trainer, pl_module)
            found |= {f"{name}_teacher": value for name, value in judged.items()}
        return found

    def _judge(self, encoder: Encoder, trainer: L.Trainer, pl_module: Training) -> dict[str, float]:
        """The same, of one encoder."""
        data = data_of(trainer)
        if not data.num_classes:
            return {}

        def prepare(batch: Batch) -> Batch:
            return trainer.strategy.batch_to_device(batch, pl_module.device)

        autocast, folder = trainer.precision_plugin.forward_context, Path(trainer.default_root_dir)
        checkpoint = EvaluatedCheckpoint("online", encoder, data, prepare, autocast, folder)
        with torch.random.fork_rng(), unsharded(encoder):
            extractor = FeatureExtractor(
                checkpoint.encoder, ready({"online": self.pool}, checkpoint.encoder)
            )
            loaders = (
                data.bank_dataloader(self.bank_limit),
                data.val_dataloader(self.held_out_limit),
            )
            bank, held_out = (
                extract(checkpoint, extractor, until_stopped(loader, trainer, pl_module))["online"]
                for loader in loaders
            )
            return {
                f"{name}/top1": max(
                    top1(judge(bank, held_out.feature, data.num_classes), held_out.label).values()
                )
                for name, judge in self.judges.items()
            }
