"""Segmentation on scattered digits: trained, saved, opened and judged in the process."""

from functools import partial

import pytest
import pytorch_lightning as L
import torch
from torch import distributed

from mim import all_processes
from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.scattered_digits import ScatteredDigits
from mim.encoder.vit import ViT
from mim.head import batch_norm
from mim.head.linear import LinearHead
from mim.head.segmenter import Segmenter
from mim.head.upernet import UPerNet
from mim.optim.schedule import WarmupCosine
from mim.train.segment import Segment

HEADS = {
    "upernet": partial(UPerNet, width=16, auxiliary_width=8, dropout=0.0, pools=(1, 2)),
    "linear": LinearHead,
}


def data(**settings) -> ScatteredDigits:
    given = {"image_size": 32, "batch_size": 4, "train_scenes": 4, "held_out": 4}
    made = ScatteredDigits(NoAugment(), Jitter((1.0, 1.0), 0.0), **(given | settings))
    made.learn_from("label_maps")
    return made


def task(head: str, lr: float = 1e-2) -> Segment:
    torch.manual_seed(0)
    encoder = ViT(32, 4, 32, 4, 4)
    model = partial(Segmenter, encoder, HEADS[head])
    return Segment(model, 11, partial(torch.optim.AdamW), WarmupCosine(0), 1.0, 0.0, lr=lr)


def trainer(**settings) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    return L.Trainer(**(quiet | {"enable_checkpointing": False} | settings))


@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_that_is_trained_learns(head):
    one, scenes = task(head), data()
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    loss, losses = one.objective(batch)
    assert loss == sum(losses.values())
    loss.backward()
    lacks = [name for name, p in one.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not lacks
    assert one.forward(batch).shape[1] == 11


@pytest.mark.parametrize("head", HEADS)
def test_half_precision_gives_nearly_the_same_loss(head):
    one, scenes = task(head), data()
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    loss = one.objective(batch)[0]
    with torch.autocast("cpu", torch.bfloat16):
        half = one.objective(batch)[0]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss.item(), rel=0.05)


def test_a_few_scenes_are_learned_by_heart():
    one, scenes = task("linear"), data(train_scenes=2, batch_size=2)
    batch = scenes.on_after_batch_transfer(next(iter(scenes.bank_dataloader())))
    optimizer = torch.optim.Adam(one.parameters(), lr=3e-3)
    for _ in range(80):
        loss, _ = one.objective(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one.eval()
    with torch.no_grad():
        predicted = one.model.segment(batch.image).argmax(dim=1)
    right = (predicted == batch.label_map)[batch.label_map > 0].float().mean()
    assert right > 0.6  # a patch of 4 x 4 pixels has one score for all, and strokes are thinner


def test_two_epochs_are_judged_and_the_best_is_kept():
    one, runner = task("linear"), trainer(max_epochs=2)
    runner.fit(one, datamodule=data())
    assert 0 <= runner.callback_metrics["val/miou"] <= runner.callback_metrics["val/miou_best"] <= 1


def test_one_class_is_refused():
    with pytest.raises(
        ValueError, match="two classes of pixels apart at least, and the data set has 1"
    ):
        Segment(
            partial(Segmenter, ViT(32, 4, 32, 4, 4), LinearHead),
            1,
            torch.optim.AdamW,
            WarmupCosine(0),
            1.0,
            0.0,
        )


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_step_of_several_processes_is_one_graph_with_the_gradients_of_an_eager_one(
    tmp_path, monkeypatch, backend
):
    """One process that believes it is one of several, so that norms ask the others."""
    scenes, found = data(), []
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        for compiled in (False, True):
            one = task("upernet")
            if compiled:
                for module in (all_processes, batch_norm):
                    monkeypatch.setattr(module, "is_alone", lambda: False)
            step = (
                torch.compile(one.objective, fullgraph=True, backend=backend)
                if compiled
                else one.objective
            )
            loss, _ = step(batch)
            loss.backward()
            found.append((loss, one.model))
    finally:
        distributed.destroy_process_group()
    (eager, model), (loss, shared) = found
    assert torch.allclose(loss, eager, atol=1e-6)
    for (name, ours), theirs in zip(shared.named_parameters(), model.parameters(), strict=True):
        if theirs.grad is not None:
            assert torch.allclose(ours.grad, theirs.grad, atol=1e-5), name
    for ours, theirs in zip(shared.buffers(), model.buffers(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
