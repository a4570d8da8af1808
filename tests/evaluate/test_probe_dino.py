"""DINO's and iBOT's linear probe: what stands for an image, and each rate as torch trains it."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.encoder.vit import ViT
from mim.evaluate.evaluated_checkpoint import EvaluatedCheckpoint
from mim.evaluate.probe_dino import RATES, LastBlocks, ProbeDINO


def encoder(**settings):
    torch.manual_seed(0)
    return ViT(image_size=32, patch_size=8, width=16, depth=3, heads=2, **settings).eval()


@pytest.fixture
def subject(tmp_path):
    data = Digits(NoAugment(), image_size=32, batch_size=64)
    data.setup()
    prepare = data.on_after_batch_transfer
    return EvaluatedCheckpoint("a", encoder(), data, prepare, nullcontext, Path(), "key", tmp_path)


@pytest.mark.parametrize(("blocks", "mean"), [(2, False), (1, True), (3, True)])
def test_normed_cls_tokens_of_the_last_blocks_stand_side_by_side_and_the_mean_behind(blocks, mean):
    network, image = encoder(), torch.randn(2, 3, 32, 32)
    extractor = LastBlocks(network, blocks, mean)
    tokens, pooled = extractor(image)
    (found,) = pooled.values()
    left, x = [], network.embed(image)
    for number in range(4 - blocks, 4):
        left.append(network.norm(network.encode_blocks(x, [number])[0]))
    expected = [each[:, 0] for each in left] + ([left[-1][:, 1:].mean(1)] if mean else [])
    assert torch.allclose(found, torch.cat(expected, 1), atol=1e-6)
    assert found.shape[1] == extractor.width
    assert torch.allclose(tokens, network(image), atol=1e-6)


def test_each_rate_is_trained_as_sgd_trains_it_alone_at_a_rate_an_epoch(subject):
    probe = ProbeDINO(2, base_lr=[0.03, 0.3], epochs=3, batch_size=448, held_out_limit=100)
    table = probe([subject])["table"]
    assert [(row["epoch"], row["setting"].split()[0]) for row in table] == [
        (epoch, f"lr={lr}") for epoch in (1, 2, 3) for lr in (0.03, 0.3)
    ]
    extractor = LastBlocks(subject.encoder, 2, False)
    linear = probe.heads(extractor.width, 10).heads[1][2]
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.3 * 448 / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3, eta_min=0)
    loader = subject.data.train_dataloader(448)
    with torch.no_grad():
        held = [
            (extractor(subject.prepare(batch).image)[1], batch.label)
            for batch in subject.data.val_dataloader(100)
        ]
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            with torch.no_grad():
                (x,) = extractor(subject.prepare(batch).image)[1].values()
            optimizer.zero_grad()
            nn.functional.cross_entropy(linear(x), batch.label).backward()
            optimizer.step()
        schedule.step()
        right = sum(
            (linear(next(iter(pooled.values()))).argmax(1) == label).sum() for pooled, label in held
        )
        assert table[2 * epoch + 1]["top1"] == pytest.approx(int(right) / 100, abs=1e-6)


def test_the_grid_is_ibots_and_what_cannot_be_is_refused(subject):
    assert len(RATES) == 45
    assert (RATES[0], RATES[9], RATES[-1]) == (1e-4, 1e-3, 9.0)
    with pytest.raises(ValueError, match="has no cls token"):
        LastBlocks(encoder(cls=False), 1, False)
    with pytest.raises(ValueError, match=r"blocks=4 and the encoder has 3; allowed: 1 to 3"):
        LastBlocks(encoder(), 4, False)
    with pytest.raises(ValueError, match=r"batch_size=9999 is more than the .* training images"):
        ProbeDINO(1, batch_size=9999)([subject])
