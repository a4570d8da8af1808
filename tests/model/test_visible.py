import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.score.salience import Salience, salience
from mim.model.visible import embed_for_score, embed_visible

ENCODERS = {
    "vit": lambda: ViT(64, 8, 32, 1, 2),
    "beit": lambda: Beit(64, 8, 32, 1, 2, "absolute"),
    "swin": lambda: Swin(64, 8, 8, [1, 1], [1, 1], 4),
}
every_encoder = pytest.mark.parametrize("name", ENCODERS)


class Watched(Salience):
    """The score of SBAM, and what it was given and found."""

    def forward(self, batch, grid, tokens):
        self.tokens, ranking = tokens, super().forward(batch, grid, tokens)
        self.found = ranking.salience
        return ranking


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


@every_encoder
def test_a_score_sees_tokens_of_float32_whatever_the_autocast(batch, name):
    encoder, score = ENCODERS[name](), Watched()
    with torch.autocast("cpu", torch.bfloat16):
        visible, _ = embed_visible(encoder, Masker(score, FixedRatio(0.75)), batch)
        rounded = encoder.embed(batch.image).float()
    assert torch.equal(score.tokens, encoder.embed(batch.image))
    assert not torch.equal(score.tokens, rounded)
    assert not score.tokens.requires_grad
    assert visible.requires_grad


def test_salience_under_autocast_is_that_of_float32(batch):
    torch.manual_seed(0)
    encoder, score = ENCODERS["vit"](), Watched()
    plain = salience(encoder.embed(batch.image).detach())
    with torch.autocast("cpu", torch.bfloat16):
        embed_visible(encoder, Masker(score, FixedRatio(0.75)), batch)
        rounded = salience(encoder.embed(batch.image).detach())
    assert (score.found - plain).abs().max() < 1e-6
    assert (rounded - plain).abs().max() > 1e-2  # of tokens that the autocast rounds


@every_encoder
def test_the_network_gets_the_same_tokens_whether_or_not_a_score_looks_at_them(batch, name):
    encoder = ENCODERS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        visible, split = embed_visible(encoder, Masker(Salience(), FixedRatio(0.75)), batch)
        assert torch.equal(visible, encoder.embed(batch.image, split.visible))


def test_weights_in_half_precision_are_embedded_in_it(batch):
    encoder = ViT(64, 8, 16, 1, 2).bfloat16()
    assert embed_for_score(encoder, batch.image).dtype == torch.bfloat16


def test_masked_patches_are_embedded_only_for_a_score(batch):
    encoder, counts = ViT(64, 8, 16, 1, 2), []
    embed = encoder.embed
    encoder.embed = lambda image, index=None: (
        counts.append(None if index is None else index.shape[2]) or embed(image, index)
    )
    embed_visible(encoder, Masker(Random(), FixedRatio(0.75)), batch)
    embed_visible(encoder, Masker(Salience(), FixedRatio(0.75)), batch)
    assert counts == [16, None, 16]
