"""CAE's attentive probe: trained as torch's SGD trains the same layers, at the release's rates."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.encoder.vit import ViT
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.probe_cae import ProbeCAE
from mim.evaluate.probe_mae import ProbeMAE
from mim.pool.attentive import ReleasedAttentive
from mim.pool.pool import Shape
from mim.pool.simple import Cls

STEPS = 3  # of 448 images, an epoch of the digits


@pytest.fixture
def subject(tmp_path):
    torch.manual_seed(0)
    encoder = ViT(image_size=32, patch_size=8, width=16, depth=1, heads=2).eval()
    data = Digits(NoAugment(), image_size=32, batch_size=64)
    data.setup()
    prepare = data.on_after_batch_transfer
    return EvaluatedCheckpoint("a", encoder, data, prepare, nullcontext, Path(), "key", tmp_path)


def table(peak, low, epochs, warmup):
    """Rates of lxtGH/CAE, furnace/utils.py:401-418."""
    rise = np.linspace(0, peak, warmup * STEPS)
    n = (epochs - warmup) * STEPS
    fall = [low + 0.5 * (peak - low) * (1 + np.cos(np.pi * i / n)) for i in range(n)]
    return [*rise, *fall]


def test_pool_and_head_are_trained_as_sgd_trains_them_at_the_rates_of_a_table(subject):
    trained = ProbeCAE(
        {"attentive_cae": partial(ReleasedAttentive, heads=2)},
        base_lr=[0.1, 0.4],
        epochs=3,
        warmup_epochs=1,
        batch_size=448,
        batch_norm_images=224,
        held_out_limit=64,
    )
    optimizer, kept = trained.probe.optimizer, []
    trained.probe.schedule.min_lr = 0.01  # large enough to be seen
    trained.probe.optimizer = lambda groups: kept.append(optimizer(groups)) or kept[0]
    torch.manual_seed(0)
    pool = ReleasedAttentive(Shape(16, (4, 4)), 2)
    alone = trained.probe.heads(pool, 16, 10).heads[1]
    assert trained([subject])["probe_cae/top1"] > 0
    learned = kept[0].param_groups[1]["params"]

    assert [layer.eps for layer in alone if isinstance(layer, nn.BatchNorm1d)] == [1e-5]
    sgd = torch.optim.SGD(alone.parameters(), lr=0.0, momentum=0.9, nesterov=True)
    rates = iter(table(0.4 * 448 / 256, 0.01, 3, 1))
    loader = subject.data.train_dataloader(224)
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for number, batch in enumerate(loader):
            with torch.no_grad():
                tokens = subject.encoder(subject.prepare(batch).image)
            (nn.functional.cross_entropy(alone(tokens), batch.label) / 2).backward()
            if number % 2:
                sgd.param_groups[0]["lr"] = next(rates)
                sgd.step()
                sgd.zero_grad()
    assert not list(rates)
    for ours, theirs in zip(learned, alone.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(learned[0], kept[0].param_groups[0]["params"][0])


def test_peak_and_sizes_are_the_release_s():
    probe = ProbeCAE({"cls": Cls()}).probe
    (setting,) = probe.settings
    assert setting.lr * probe.batch_size / 256 == pytest.approx(0.4)
    assert (probe.batch_size, probe.batch_norm_images, probe.norm_eps) == (8192, 256, 1e-5)
    assert probe.schedule.min_lr == 1e-6
    assert ProbeMAE({"cls": Cls()}).probe.norm_eps == 1e-6


def test_batches_that_no_images_fill_are_refused(subject):
    with pytest.raises(ValueError, match=r"=8192 is more than the 1,347 .* is .*batch_size=1280"):
        ProbeCAE({"cls": Cls()})([subject])
    with pytest.raises(ValueError, match=r"batch_size=300 has to be a multiple of .*=256; .*=256"):
        ProbeCAE({"cls": Cls()}, batch_size=300)
