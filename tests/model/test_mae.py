from functools import partial

import pytest
import torch
from torch import nn

from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.decoder import Decoder
from mim.model.mae import MAE


class TokenLover(Random):
    """The random score, pretending to need tokens."""

    needs_tokens = True


class Parts(nn.Module):
    """Given parts, whatever the ranking: patches in none are thrown."""

    def __init__(self, visible, masked):
        super().__init__()
        self.split = Split(torch.tensor(visible), torch.tensor(masked))

    def forward(self, ranking):
        B = len(ranking.rank)
        return Split(*(index.expand(B, -1, -1) for index in self.split[:2]))


class Shared(Parts):
    """The same, whose visible patches are all the same."""

    def forward(self, ranking):
        return super().forward(ranking)._replace(shared=True)


@pytest.fixture
def build():
    def build(masker: Masker) -> MAE:
        torch.manual_seed(0)
        encoder = ViT(image_size=(16, 24), patch_size=4, width=16, depth=2, heads=2)
        return MAE(
            encoder, masker, partial(Decoder, width=8, depth=1, heads=2), target_dims={"pixel": 48}
        )

    return build


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0)))


def test_it_predicts_what_the_masker_hid(build, batch):
    model = build(Masker(Random(), FixedRatio(0.75)))
    made = model(batch)
    prediction, split = made.prediction, made.split
    assert prediction.shape == (3, 1, 18, 48)
    assert split.visible.shape == (3, 1, 6)
    assert torch.equal(split.masked, model.masker(batch, (4, 6)).masked)


def test_a_score_that_looks_at_tokens_changes_nothing_else(build, batch):
    blind, sighted = (
        build(Masker(Random(), FixedRatio(0.75))),
        build(Masker(TokenLover(), FixedRatio(0.75))),
    )
    expected = blind(batch).prediction
    prediction = sighted(batch).prediction
    assert torch.allclose(prediction, expected, atol=1e-5)
    for model, value in ((blind, expected), (sighted, prediction)):
        value.square().mean().backward()
        assert model.encoder.patch_embed.proj.weight.grad is not None
    for (name, a), (_, b) in zip(blind.named_parameters(), sighted.named_parameters(), strict=True):
        if a.grad is not None:
            assert torch.allclose(a.grad, b.grad, atol=1e-5), name


def test_parallel_parts_equal_separate_passes(build, batch):
    visible, masked = [[0, 5, 9], [1, 2, 3]], [[1, 2, 20, 21], [0, 5, 9, 10]]
    together = build(Masker(Random(), Parts([visible], [masked])))(batch).prediction
    assert together.shape == (3, 2, 4, 48)
    for part in range(2):
        alone = build(Masker(Random(), Parts([[visible[part]]], [[masked[part]]])))(
            batch
        ).prediction
        assert torch.allclose(together[:, part], alone[:, 0], atol=1e-5)


def test_what_parts_share_is_encoded_once_and_predicted_from_alike(build, batch):
    """Several targets and one context: as with separate passes, which encode it anew for each."""
    context, targets = [0, 5, 9], [[1, 2, 20, 21], [1, 3, 10, 11]]
    model = build(Masker(Random(), Parts([[context, context]], [targets])))
    expected = model(batch).prediction
    model.masker.partition = Shared([[context, context]], [targets])
    rows = []
    model.encoder.blocks[0].register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    assert torch.allclose(model(batch).prediction, expected, atol=1e-5)
    assert rows == [3]


def test_only_visible_patches_influence_predictions(build, batch):
    # patches from 5 on are thrown
    model = build(Masker(Random(), Parts([[[0, 1, 2]]], [[[3, 4]]])))
    expected = model(batch).prediction
    hidden = batch.image.clone()
    hidden[..., 4:, :] += 1
    hidden[..., :, 12:] += 1
    assert torch.equal(model(batch.with_image(hidden)).prediction, expected)
    visible = batch.image.clone()
    visible[..., :4, :4] += 1
    assert not torch.allclose(model(batch.with_image(visible)).prediction, expected, atol=1e-4)
