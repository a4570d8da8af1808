"""Tokens of a teacher that sees the masked patches alone: no other patch changes them."""

import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.vit import ViT
from mim.loss.term import Term
from mim.masker.split import Split
from mim.model.simmim import SimMIM
from mim.target.masked_features import MaskedFeatures
from mim.target.target import FollowingTarget, Paintable
from mim.teacher.ema import EMA
from tests.recipes.known import KnownAlone

ENCODERS = {
    "beit": lambda: Beit(16, 4, 8, 2, 2),
    "vit": lambda: ViT(16, 4, 8, 2, 2),
    "no cls": lambda: ViT(16, 4, 8, 2, 2, cls=False),
}


def teacher_of(encoder):
    return EMA(SimMIM(encoder, None, {"x": 1}))


def split(*places):
    masked = torch.tensor(places).expand(2, 1, -1)
    return Split(visible=torch.zeros(2, 1, 1, dtype=torch.int64), masked=masked)


@pytest.mark.parametrize("name", ENCODERS)
def test_only_masked_patches_are_seen(name):
    teacher, image = teacher_of(ENCODERS[name]()), torch.randn(2, 3, 16, 16)
    target = MaskedFeatures()(image, split(5, 0, 15), teacher)
    hidden = image.clone()
    hidden[:, :, 4:8, 0:4] = 7.0  # of patch 4, which is none of them
    assert torch.equal(MaskedFeatures()(hidden, split(5, 0, 15), teacher), target)
    seen = image.clone()
    seen[:, :, :4, :4] = 7.0
    assert not torch.allclose(MaskedFeatures()(seen, split(5, 0, 15), teacher), target, atol=1e-3)
    network = teacher.network
    index = torch.tensor([[5, 0, 15]] * 2)
    expected = network.encode(network.embed(image, index[:, None])[:, 0], index)[
        :, network.prefix :
    ]
    assert torch.allclose(target[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_no_token_and_parts_are_seen_apart(name):
    teacher, image = teacher_of(ENCODERS[name]()), torch.randn(2, 3, 16, 16)
    masked = torch.stack([torch.tensor([[5, 0, 15, 3], [1, 2, 9, 4]])] * 2)
    valid = torch.tensor([[True, True, True, False], [True] * 4]).expand(2, 2, 4)
    target = MaskedFeatures()(image, Split(masked, masked, None, valid), teacher)
    assert target.shape == (2, 2, 4, 8)
    assert torch.allclose(
        target[:, :1, :3], MaskedFeatures()(image, split(5, 0, 15), teacher), atol=1e-5
    )
    assert torch.allclose(
        target[:, 1:], MaskedFeatures()(image, split(1, 2, 9, 4), teacher), atol=1e-5
    )


class Trained(KnownAlone):
    """A teacher that gradients could reach."""

    def __call__(self, *given, **settings):
        return [2 * tokens for tokens in super().__call__(*given, **settings)]


def test_it_follows_a_teacher_without_a_gradient_and_is_no_picture():
    encoder = ENCODERS["vit"]()
    image = torch.randn(2, 3, 16, 16)
    for teacher in (teacher_of(encoder), Trained(torch.ones(8, requires_grad=True))):
        assert not MaskedFeatures()(image, split(1, 2), teacher).requires_grad
    assert isinstance(MaskedFeatures(), FollowingTarget)
    assert not isinstance(MaskedFeatures(), Paintable)


def test_it_is_never_compared_with_without_a_teacher():
    with pytest.raises(
        ValueError, match="MaskedFeatures is made of a teacher's tokens and was given no teacher"
    ):
        Term(MaskedFeatures())(torch.zeros(2, 1, 1, 8), torch.zeros(2, 3, 16, 16), split(0))
