"""Every block is seen as it is, over any number of images."""

from contextlib import nullcontext

import pytest
import torch

from mim.analysis import attention_pass
from mim.analysis.attention_pass import measure
from mim.encoder.beit import Beit
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT

MAKERS = {
    "vit": lambda: ViT(image_size=32, patch_size=8, width=48, depth=2, heads=4),
    "shared bias": lambda: Beit(32, 8, 48, 2, 4, positions="shared_bias"),
    "bias of a block": lambda: Beit(32, 8, 48, 2, 4, positions="block_bias"),
    "absolute": lambda: Beit(32, 8, 48, 2, 4, positions="absolute"),
}


def shaken(maker):
    """No parameter at its start: a bias that is left out shows."""
    torch.manual_seed(0)
    encoder = maker().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return encoder


def images(count: int, size: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def measured(batch_of):
    def run(encoder, image, batch_size):
        return measure(
            encoder, (batch_of(part) for part in image.split(batch_size)), lambda batch: batch
        )

    return run


@pytest.mark.parametrize("name", ["vit", "shared bias"])
def test_batches_of_any_size_give_the_numbers_of_one_batch(name, measured):
    encoder = shaken(MAKERS[name]).train()
    whole, streamed = (measured(encoder, images(13), size) for size in (13, 3))
    assert encoder.training
    assert streamed.head.count == 13
    for at_once, little_by_little in ((whole.head, streamed.head), (whole.update, streamed.update)):
        assert torch.allclose(at_once.mean, little_by_little.mean, rtol=1e-5)
        assert torch.allclose(at_once.std, little_by_little.std, rtol=1e-3, atol=1e-6)


def test_a_large_batch_is_looked_at_piece_by_piece(measured, monkeypatch):
    encoder = shaken(MAKERS["shared bias"])
    whole = measured(encoder, images(5), 5)
    most = []
    monkeypatch.setattr(attention_pass, "NUMBERS_AT_ONCE", 2 * 4 * 17**2)
    known = attention_pass.head_statistics
    monkeypatch.setattr(
        attention_pass, "head_statistics", lambda m, grid: most.append(len(m)) or known(m, grid)
    )
    pieces = measured(encoder, images(5), 5)
    assert most == [2, 2, 2, 2, 1, 1]  # images of both blocks at a time
    assert torch.allclose(whole.head.mean, pieces.head.mean)


def test_memory_does_not_grow_with_the_images(measured):
    encoder = shaken(MAKERS["vit"])

    def numbers_kept(count):
        stats = measured(encoder, images(count), 2)
        tensors = [
            t for moments in (stats.head, stats.block, stats.update) for t in vars(moments).values()
        ]
        return sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))

    assert numbers_kept(2) == numbers_kept(40)


def test_the_summary_tells_heads_and_images_apart(measured):
    encoder = shaken(MAKERS["vit"])
    summary = measured(encoder, images(6), 4).summary()
    entropy = summary["cls_entropy"]
    heads = torch.tensor(entropy["heads"])
    assert heads.shape == (2, 4)
    assert entropy["mean"] == pytest.approx(heads.mean(1).tolist())
    assert entropy["std_over_heads"] == pytest.approx(heads.std(1).tolist(), rel=1e-4)
    alone = [
        measured(encoder, image[None], 1).summary()["cls_entropy"]["mean"] for image in images(6)
    ]
    assert entropy["std_over_images"] == pytest.approx(
        torch.tensor(alone).std(0).tolist(), rel=1e-3
    )
    assert set(summary["cls_update"]) == {"mean", "std_over_images"}


def test_an_oblong_image_is_measured_on_its_grid(measured):
    encoder = ViT(image_size=(16, 32), patch_size=8, width=48, depth=1, heads=4)
    with torch.no_grad():
        encoder.blocks[0].attn.qkv.weight.zero_()  # attention is uniform
    stats = measured(encoder, images(1)[:, :, :16], 1)
    apart = [
        ((i // 4 - j // 4) ** 2 + (i % 4 - j % 4) ** 2) ** 0.5 for i in range(8) for j in range(8)
    ]
    assert stats.summary()["distance"]["mean"] == pytest.approx([sum(apart) / 64])


def test_an_encoder_without_a_cls_token_is_refused(measured):
    swin = Swin(image_size=64, patch_size=8, width=12, depths=[1, 1], heads=[2, 2], window=4)
    with pytest.raises(ValueError, match="Swin has no cls token that attends to all patches"):
        measured(swin, images(1, 64), 1)


def test_an_encoder_in_half_precision_is_looked_at_in_float32(batch_of):
    encoder = shaken(MAKERS["shared bias"])

    def run(autocast):
        return measure(encoder, [batch_of(images(4))], lambda batch: batch, autocast).head.mean

    whole, half = run(nullcontext), run(lambda: torch.autocast("cpu", torch.bfloat16))
    cls_to_cls, cls_to_patch = half[..., 0], half[..., 4]
    assert torch.allclose(cls_to_cls + 16 * cls_to_patch, torch.ones(2, 4).double(), atol=1e-6)
    assert not torch.equal(whole, half)
    assert torch.allclose(whole, half, rtol=0.1, atol=0.02)
