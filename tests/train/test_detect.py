"""Detection on scattered digits: trained, judged, saved and opened in the process."""

from functools import partial

import pytest
import pytorch_lightning as L
import torch

from mim.augment.jitter import Jitter
from mim.augment.no_augment import NoAugment
from mim.data.scattered_digits import ScatteredDigits
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.head.average_precision import Detected
from mim.head.cascade import CascadeHeads
from mim.head.detector import Detector
from mim.head.federated import Federated
from mim.head.proposals import ProposalNetwork
from mim.head.regions import RegionHeads
from mim.optim.schedule import WarmupCosine
from mim.train.detect import Detect

PROPOSALS = partial(
    ProposalNetwork,
    anchor_sizes=(6, 8, 12, 16, 24),
    ratios=(1.0,),
    train=(100, 60),
    test=(50, 30),
    sampled=32,
)
REGIONS = partial(
    RegionHeads,
    width=16,
    box_convolutions=1,
    mask_convolutions=1,
    fully_connected=64,
    sampled=32,
    canonical_size=40,
)


def data(**settings) -> ScatteredDigits:
    given = {"image_size": 32, "batch_size": 2, "train_scenes": 2, "held_out": 2}
    made = ScatteredDigits(NoAugment(), Jitter((1.0, 1.0), 0.0), **(given | settings))
    made.learn_from("objects")
    return made


def task(lr: float = 1e-3, encoder=None, regions=REGIONS, **settings) -> Detect:
    torch.manual_seed(0)
    encoder = encoder or ViT(32, 4, 32, 2, 4)
    model = partial(
        Detector, encoder, PROPOSALS, regions, image_size=32, window=3, global_blocks=1, width=16
    )
    return Detect(model, 10, torch.optim.AdamW, WarmupCosine(0), 1.0, 0.0, lr=lr, **settings)


def trainer(**settings) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    return L.Trainer(**(quiet | {"enable_checkpointing": False} | settings))


CASCADE = partial(
    CascadeHeads,
    width=16,
    box_convolutions=1,
    mask_convolutions=1,
    fully_connected=64,
    sampled=32,
    canonical_size=40,
)


@pytest.mark.parametrize("regions", [REGIONS, CASCADE], ids=["plain", "cascade"])
def test_every_parameter_that_is_trained_learns(regions):
    one, scenes = task(regions=regions), data()
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    loss, losses = one.objective(batch)
    later = {f"{name}_{number}" for name in ("category", "box") for number in (2, 3)}
    expected = {"rpn_score", "rpn_box", "category", "box", "mask"}
    assert set(losses) == (expected | later if regions is CASCADE else expected)
    assert loss == sum(losses.values())
    loss.backward()
    lacks = [name for name, p in one.model.named_parameters() if p.requires_grad and p.grad is None]
    assert not lacks
    assert {name for name, p in one.model.named_parameters() if not p.requires_grad} == {
        "encoder.cls_token",
        "encoder.norm.weight",
        "encoder.norm.bias",
    }


def test_losses_belong_to_the_images_whatever_else_is_in_the_batch():
    """With as many anchors and regions drawn of each, a batch is the mean of its images."""
    one, scenes = task(), data()
    one.model.regions.sampled = 16
    both = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    each = [
        both._replace(**{k: getattr(both, k)[n : n + 1] for k in both._fields}) for n in range(2)
    ]
    together = one.objective(both)[1]
    alone = [one.objective(batch)[1] for batch in each]
    for name in ("rpn_score", "rpn_box", "category", "box"):
        mean = sum(losses[name] for losses in alone) / 2
        assert together[name].item() == pytest.approx(mean.item(), rel=1e-5), name


def test_half_precision_gives_nearly_the_same_losses():
    one, scenes = task(), data()
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    losses = one.objective(batch)[1]
    with torch.autocast("cpu", torch.bfloat16):
        half = one.objective(batch)[1]
    for name in ("rpn_score", "rpn_box", "category", "mask"):
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(losses[name].item(), rel=0.05), name


def test_a_scene_is_learned_by_heart():
    one, scenes = task(), data(train_scenes=1, batch_size=1)
    batch = scenes.on_after_batch_transfer(next(iter(scenes.train_dataloader())))
    optimizer = torch.optim.Adam(one.parameters(), lr=3e-3)
    for step in range(80):
        loss, _ = one.objective(batch._replace(key=batch.key + step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one.eval()
    detected = Detected(scenes.training_scenes)
    detected.add(one.model.detect(batch.image, batch.size), batch)
    row = detected.row()
    assert row["bbox"]["AP50"] > 0.9
    assert row["segm"]["AP50"] > 0.9


def test_an_epoch_is_judged_and_an_untrained_model_finds_nothing_right():
    one, runner = task(), trainer(max_epochs=1)
    runner.fit(one, datamodule=data())
    assert runner.callback_metrics["val/mask_ap"] < 0.1
    assert runner.callback_metrics["val/box_ap"] < 0.1


def test_a_federated_loss_is_told_how_many_pictures_each_category_has():
    scenes = data()
    scenes.category_images = [1] * 9 + [50]
    regions = partial(REGIONS, federated=Federated(classes=4))
    one = task(regions=regions)
    assert one.model.regions.score.bias.unique().item() == pytest.approx(-4.59512, rel=1e-5)
    trainer(max_epochs=1, limit_val_batches=0).fit(one, datamodule=scenes)
    assert one.model.regions.federated.weight[-1] == pytest.approx(50**0.5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"compile": True}, "how many regions there are depends on the images"),
        (
            {"encoder": ViT(36, 9, 32, 2, 4)},
            "data.image_size=32 is no multiple of two patches of 9",
        ),
        (
            {"encoder": Swin(32, 8, 16, [1, 1], [2, 2], 2)},
            "windows are for a plain ViT, and Swin is none",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        task(**settings)


def test_data_without_objects_is_refused():
    with pytest.raises(ValueError, match="the data set has none"):
        Detect(
            partial(Detector, ViT(32, 4, 32, 2, 4)), 0, torch.optim.AdamW, WarmupCosine(0), 1.0, 0.0
        )
