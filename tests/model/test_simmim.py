import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.masker.masker import Masker
from mim.masker.partition.fixed_ratio import FixedRatio
from mim.masker.score.random import Random
from mim.masker.split import Split
from mim.model.simmim import SimMIM
from tests.e2e.my_encoder import Registers

ENCODERS = {
    "vit": lambda: ViT((16, 24), 4, width=16, depth=2, heads=2),
    "shared_bias": lambda: Beit((16, 24), 4, width=16, depth=2, heads=2),
    "block_bias": lambda: Beit((16, 24), 4, width=16, depth=2, heads=2, positions="block_bias"),
    "absolute": lambda: Beit((16, 24), 4, width=16, depth=2, heads=2, positions="absolute"),
    "swin": lambda: Swin((16, 24), 4, width=8, depths=[2, 2], heads=[2, 2], window=4),
}
ON_SETS = [name for name in ENCODERS if name != "swin"]


class TokenLover(Random):
    """The random score, pretending to need tokens."""

    needs_tokens = True


class Given(nn.Module):
    """A given split, whatever the ranking."""

    def __init__(self, split):
        super().__init__()
        self.split = split

    def forward(self, ranking):
        B = len(ranking.rank)
        return Split(
            *(
                part.expand(B, -1, -1) if isinstance(part, torch.Tensor) else part
                for part in self.split
            )
        )


def parts(visible, masked):
    return Masker(Random(), Given(Split(torch.tensor([visible]), torch.tensor([masked]))))


def build(encoder: str, masker: Masker) -> SimMIM:
    torch.manual_seed(0)
    model = SimMIM(ENCODERS[encoder](), masker, target_dims={"pixel": 48})
    with torch.no_grad():  # tables start at zero, layer scales at 0.1: make all of it show
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.5) if name.endswith(
                ("bias_table", "mask_token")
            ) else parameter.mul_(2)
    return model


@pytest.fixture
def batch(batch_of):
    return batch_of(torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_it_predicts_what_the_masker_hid(encoder, batch):
    model = build(encoder, Masker(Random(), FixedRatio(0.75)))
    made = model(batch)
    prediction, split = made.prediction, made.split
    assert prediction.shape == (3, 1, 18, 48)
    assert torch.equal(split.masked, model.masker(batch, (4, 6)).masked)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_masked_pixels_influence_nothing(encoder, batch):
    model = build(encoder, parts([[*range(6)]], [[*range(6, 24)]]))
    expected = model(batch).prediction
    hidden, visible = batch.image.clone(), batch.image.clone()
    hidden[..., 4:, :] += 1
    visible[..., :4, :4] += 1
    assert torch.equal(model(batch.with_image(hidden)).prediction, expected)
    assert not torch.allclose(model(batch.with_image(visible)).prediction, expected, atol=1e-4)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_predictions_know_where_they_stand(encoder, batch):
    model = build(encoder, parts([[*range(6)]], [[*range(6, 24)]]))
    prediction = model(batch).prediction
    assert not torch.allclose(prediction[:, :, 0], prediction[:, :, 9], atol=1e-4)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_score_that_looks_at_tokens_changes_nothing_else(encoder, batch):
    blind, sighted = (
        build(encoder, Masker(score, FixedRatio(0.75))) for score in (Random(), TokenLover())
    )
    assert torch.allclose(sighted(batch).prediction, blind(batch).prediction, atol=1e-5)


@pytest.mark.parametrize("encoder", ON_SETS)
def test_thrown_patches_are_nowhere(encoder, batch):
    model = build(encoder, parts([[0, 1, 2]], [[3, 4]]))
    tokens = []
    model.encoder.blocks[0].register_forward_hook(
        lambda module, given, result: tokens.append(result.shape)
    )
    expected = model(batch).prediction
    thrown = batch.image.clone()
    thrown[..., 4:, :] += 1
    assert torch.equal(model(batch.with_image(thrown)).prediction, expected)
    assert tokens[0] == (3, 1 + 5, 16)


@pytest.mark.parametrize("encoder", ON_SETS)
def test_parallel_parts_equal_separate_passes(encoder, batch):
    visible, masked = [[0, 5, 9], [1, 2, 3]], [[1, 2, 20, 21], [0, 5, 9, 10]]
    together = build(encoder, parts(visible, masked))(batch).prediction
    assert together.shape == (3, 2, 4, 48)
    for part in range(2):
        alone = build(encoder, parts([visible[part]], [masked[part]]))(batch).prediction
        assert torch.allclose(together[:, part], alone[:, 0], atol=1e-5)


@pytest.mark.parametrize("encoder", ON_SETS)
def test_padding_changes_nothing(encoder, batch):
    """Counts that differ between images are padded: the padding stands for any patch, and is not
    seen.
    """
    expected = build(encoder, parts([[0, 5, 9]], [[1, 2, 20, 21]]))(batch).prediction
    split = Split(
        torch.tensor([[[7, 0, 5, 9, 3]]]),
        torch.tensor([[[1, 2, 20, 21, *range(20)]]]),
        torch.tensor([[[False, True, True, True, False]]]),
        torch.tensor([[[True] * 4 + [False] * 20]]),
    )
    padded = build(encoder, Masker(Random(), Given(split)))(batch).prediction
    assert torch.allclose(padded[:, :, :4], expected, atol=1e-5)


def test_swin_refuses_a_masker_that_throws(batch):
    with pytest.raises(ValueError, match="need every patch and got 5 of 24"):
        build("swin", parts([[0, 1, 2]], [[3, 4]]))(batch)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_trained_parameter_has_a_gradient(encoder, batch):
    model = build(encoder, Masker(Random(), FixedRatio(0.75)))
    model(batch).prediction.square().mean().backward()
    assert [
        name for name, p in model.named_parameters() if p.requires_grad and p.grad is None
    ] == []


@pytest.mark.parametrize("encoder", ["vit", "swin", "registers"])
def test_predictions_are_of_the_masked_tokens_behind_any_prefix(encoder, batch):
    model = SimMIM(
        Registers(16, 4, 16, 2, 2) if encoder == "registers" else ENCODERS[encoder](),
        Masker(Random(), FixedRatio(0.75)),
        {"pixel": 48},
    )
    batch = batch.with_image(batch.image[..., :16]) if encoder == "registers" else batch
    made = model(batch)
    split, inside = made.split, model.encoder
    tokens = [
        inside.position_token(model.mask_token, split.masked),
        inside.embed(batch.image, split.visible),
    ]
    index = torch.cat([split.masked, split.visible], dim=2)[:, 0]
    encoded = inside.encode(torch.cat(tokens, dim=2)[:, 0], index)
    masked = encoded[:, inside.prefix :][:, : split.masked.shape[2]]
    assert torch.allclose(made.prediction[:, 0], model.decoder(masked), atol=1e-6)
