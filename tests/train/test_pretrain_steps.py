from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import nn

from mim.batch import blank
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.partition.random_ratio import RandomRatio
from mim.target.pixel import Pixel
from mim.train.pretrain import Pretrain


class Runs(SimpleNamespace):
    """As much of a trainer as the start of a batch asks for: two batches accumulated to a step."""

    global_rank, global_step, current_epoch, max_epochs = 0, 0, 0, 1
    datamodule = SimpleNamespace(steps_per_epoch=3)

    def at(self, batch):
        self.global_step = batch // 2
        self.fit_loop = SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=batch))
        return self


def test_what_is_drawn_once_a_step_hears_of_steps_and_not_of_accumulated_batches():
    partition = RandomRatio(per="batch")
    task = Pretrain(
        lambda target_dims: nn.Sequential(partition),
        Term(Pixel(Geometry.of(2, 2))),
        torch.optim.SGD,
        lambda *_: 1.0,
        1e-3,
        0.0,
    )
    trainer, steps = Runs(), []
    task.trainer = trainer
    task.on_train_epoch_start()
    with torch.random.fork_rng():
        for batch in range(6):
            trainer.at(batch)
            task.on_train_batch_start(blank(1, (2, 2)), batch)
            steps.append(int(partition.step))
    assert steps == [0, 0, 1, 1, 2, 2]


def test_a_fused_optimiser_that_undoes_the_scaling_of_float16_is_given_no_cut_gradients():
    task = Pretrain(
        lambda target_dims: nn.Linear(2, 2),
        Term(Pixel(Geometry.of(2, 2))),
        torch.optim.SGD,
        lambda *_: 1.0,
        1e-3,
        0.0,
    )
    task.trainer = SimpleNamespace(
        precision_plugin=MixedPrecision("16-mixed", "cpu", torch.GradScaler("cpu")),
        gradient_clip_val=1.0,
    )
    fused = torch.optim.AdamW(task.parameters(), fused=True)
    with pytest.raises(
        ValueError, match=r"give optimizer\.fused=false, or trainer\.precision=bf16-mixed"
    ):
        task.configure_gradient_clipping(fused, 1.0)
