import pytest
import torch

from mim.masker.split import Split
from mim.model.decoder import Decoder


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return Decoder(encoder_width=12, grid=(3, 4), target_dim=5, width=8, depth=2, heads=2)


# cls and three visible patches
LATENT = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0))
SPLIT = Split(torch.tensor([[[0, 4, 9]], [[1, 2, 3]]]), torch.tensor([[[1, 11]], [[0, 7]]]))


def test_every_masked_patch_gets_as_many_values_as_the_loss_asks_for(decoder):
    assert decoder(LATENT, SPLIT).shape == (2, 1, 2, 5)


def test_the_order_of_tokens_does_not_matter(decoder):
    order = torch.tensor([2, 0, 1])
    latent = torch.cat([LATENT[:, :1], LATENT[:, 1:][:, order]], dim=1)
    shuffled = decoder(latent, Split(SPLIT.visible[..., order], SPLIT.masked.flip(-1)))
    assert torch.allclose(shuffled, decoder(LATENT, SPLIT).flip(2), atol=1e-5)


def test_it_knows_where_patches_stand(decoder):
    elsewhere = decoder(LATENT, SPLIT._replace(visible=SPLIT.visible + 1))
    assert not torch.allclose(elsewhere, decoder(LATENT, SPLIT), atol=1e-3)
    first, second = decoder(LATENT, SPLIT)[0, 0]
    assert not torch.allclose(first, second, atol=1e-3)


def test_all_but_positions_is_trained(decoder):
    decoder(LATENT, SPLIT).square().sum().backward()
    assert {name for name, p in decoder.named_parameters() if p.grad is None} == {"pos_embed"}


def test_learned_positions_begin_small():
    torch.manual_seed(0)
    decoder = Decoder(12, (10, 10), 5, width=64, depth=1, heads=2, positions="learned", prefix=8)
    assert decoder.pos_embed.shape == (1, 108, 64)
    assert decoder.pos_embed.requires_grad
    assert decoder.pos_embed.std().item() == pytest.approx(0.02, rel=0.05)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="width=8, heads=3; the heads must divide"):
        Decoder(encoder_width=12, grid=(3, 4), target_dim=5, width=8, depth=1, heads=3)
