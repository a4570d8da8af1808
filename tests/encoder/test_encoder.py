"""What every encoder promises: tokens of several blocks in one pass, and attention that is the
blocks' own.
"""

import pytest
import torch
from torch import nn

from mim.encoder.beit import Beit
from mim.encoder.encoder import Attends, attending, check_contract, cls_attention
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.teacher.ema import EMA
from mim.tokens import take
from mim.weights.settings import ENCODER, public_classes

MAKERS = {
    "vit": lambda: ViT(image_size=32, patch_size=8, width=48, depth=3, heads=4),
    "shared bias": lambda: Beit(32, 8, 48, 3, 4, positions="shared_bias"),
    "bias of a block": lambda: Beit(32, 8, 48, 3, 4, positions="block_bias"),
    "absolute": lambda: Beit(32, 8, 48, 3, 4, positions="absolute"),
    "swin": lambda: Swin(64, 16, 12, [1, 2, 1], [2, 2, 2], 4),
}
ATTENDING = [name for name in MAKERS if name != "swin"]


def shaken(name):
    """No parameter at its start: a bias that is left out shows."""
    torch.manual_seed(0)
    encoder = MAKERS[name]().eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return encoder


@pytest.mark.parametrize("name", MAKERS)
def test_ours_have_what_every_encoder_has(name):
    check_contract(MAKERS[name]())


@pytest.mark.parametrize("lacking", ["norm", "width", "prefix"])
def test_an_encoder_that_lacks_something_is_refused_before_it_is_trained(lacking):
    encoder = MAKERS["vit"]()
    delattr(encoder, lacking)
    with pytest.raises(ValueError, match=f"ViT lacks {lacking}, which every encoder has"):
        check_contract(encoder)


def images_for(encoder, count=3):
    return torch.randn(
        count, 3, *encoder.geometry.image_size, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_an_encoder_is_as_large_as_it_says(name):
    encoder = shaken(name)
    rows, columns = encoder.geometry.grid
    assert encoder(images_for(encoder)).shape == (3, encoder.prefix + rows * columns, encoder.width)
    assert len(list(encoder.blocks)) == encoder.depth


@pytest.mark.parametrize("name", MAKERS)
@torch.no_grad()
def test_the_last_block_normalised_is_what_is_encoded(name):
    encoder = shaken(name)
    embedded = encoder.embed(images_for(encoder))
    (last,) = encoder.encode_blocks(embedded, [encoder.depth])
    patches = encoder.norm(last)[:, encoder.prefix :]
    assert torch.allclose(patches, encoder.encode(embedded)[:, encoder.prefix :], atol=1e-6)


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_blocks_come_in_the_order_asked_for_in_one_pass(name):
    encoder, runs = shaken(name), []
    embedded = encoder.embed(images_for(encoder))
    for number, block in enumerate(encoder.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: runs.append(number))
    second, entering, first = encoder.encode_blocks(embedded, [2, 0, 1])
    assert runs == [1, 2]
    assert torch.equal(entering[:, 1:], embedded)
    for tokens, block in ((first, 1), (second, 2)):
        assert torch.equal(tokens, encoder.encode_blocks(embedded, [block])[0])
    assert not torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_blocks_of_a_subset_in_any_order(name):
    encoder = shaken(name)
    image, order = (
        images_for(encoder, 1),
        torch.randperm(16, generator=torch.Generator().manual_seed(0))[None],
    )
    in_order = encoder.encode_blocks(encoder.embed(image), [1, 3])
    shuffled = encoder.encode_blocks(encoder.embed(image, order[:, None])[:, 0], [1, 3], order)
    for ours, theirs in zip(shuffled, in_order, strict=True):
        assert torch.allclose(ours[:, 1:], take(theirs[:, 1:], order[:, None])[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_the_attention_is_the_one_that_the_block_used(name):
    """Applied to the values and projected, it is what the block's attention adds, and the block
    does add it.
    """
    encoder = shaken(name)
    image = images_for(encoder)
    streams = encoder.encode_blocks(encoder.embed(image), range(encoder.depth + 1))
    for number, block in enumerate(encoder.blocks, start=1):
        entering, leaving = streams[number - 1 : number + 1]
        matrix = encoder.block_attention(entering, block=number)
        assert torch.allclose(matrix.sum(-1), torch.ones(3, 4, 17), atol=1e-6)
        D = encoder.width
        bias = block.attn.v_bias if block.attn.qkv.bias is None else block.attn.qkv.bias[2 * D :]
        value = block.norm1(entering) @ block.attn.qkv.weight[2 * D :].T + bias
        mixed = matrix @ value.unflatten(-1, (encoder.heads, -1)).transpose(1, 2)
        added = block.attn.proj(mixed.transpose(1, 2).flatten(2)) * (
            block.gamma_1 if isinstance(encoder, Beit) else 1
        )
        assert torch.allclose(encoder.block_update(entering, number), added, atol=1e-4)
        middle = entering + added
        beyond = block.mlp(block.norm2(middle)) * (
            block.gamma_2 if isinstance(encoder, Beit) else 1
        )
        assert torch.allclose(leaving, middle + beyond, atol=1e-3)


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_any_queries_in_any_block(name):
    encoder = shaken(name)
    image = images_for(encoder)
    for block in (1, 2, 3, None):
        whole = encoder.attention(image, block=block)
        for queries in ([0], [3, 4, 5], [16, 2]):
            some = encoder.attention(image, queries, block)
            assert torch.allclose(some, whole[:, :, queries], atol=1e-6)
    assert torch.equal(encoder.attention(image, [1]), encoder.attention(image, [1], 3))
    assert torch.equal(
        cls_attention(encoder, image, 2), encoder.attention(image, [0], 2)[:, :, 0, 1:]
    )


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_attention_is_in_the_precision_in_force_or_in_the_one_asked_for(name):
    encoder = shaken(name)
    (entering,) = encoder.encode_blocks(encoder.embed(images_for(encoder)), [2])
    exact = encoder.block_attention(entering, dtype=torch.float32)
    assert torch.equal(exact, encoder.block_attention(entering))
    with torch.autocast("cpu", torch.bfloat16):
        half, single = (
            encoder.block_attention(entering),
            encoder.block_attention(entering, dtype=torch.float32),
        )
    assert half.dtype == single.dtype == torch.float32
    assert torch.allclose(single, exact, atol=1e-6)
    assert not torch.allclose(half, exact, atol=1e-4)
    whole = encoder.bfloat16().block_attention(entering.bfloat16(), dtype=torch.float32)
    assert torch.allclose(whole.sum(-1), torch.ones(3, 4, 17), atol=1e-6)


@pytest.mark.parametrize("name", ATTENDING)
@pytest.mark.parametrize("block", [-1, 0, 4])
def test_a_block_that_is_not_there_is_refused(name, block):
    encoder = shaken(name)
    with pytest.raises(
        ValueError, match=f"block={block} of .* cannot be looked at: it has blocks 1 to 3"
    ):
        encoder.attention(images_for(encoder), [0], block)
    with pytest.raises(
        ValueError, match=f"block={block} of .* cannot be looked at: it has blocks 1 to 3"
    ):
        encoder.block_update(torch.zeros(1, 17, 48), block)


def test_windows_do_not_attend():
    assert not isinstance(shaken("swin"), Attends)
    with pytest.raises(
        ValueError, match="Swin has no cls token that attends to all patches, so it is blind"
    ):
        attending(shaken("swin"), "so it is blind")


def test_a_file_can_name_encoders_and_no_contract_of_one():
    assert [name.rpartition(".")[2] for name in public_classes(ENCODER)] == [
        "Beit",
        "CapiViT",
        "Pixio",
        "Swin",
        "TimmViT",
        "ViT",
    ]


@pytest.mark.parametrize("name", ATTENDING)
@torch.no_grad()
def test_what_feed_forward_networks_add_is_what_leaves_a_block_less_what_attention_left(name):
    encoder = shaken(name)
    embedded = encoder.embed(images_for(encoder))
    tokens = encoder.encode_blocks(embedded, [0, 1, 2, 3])
    added = encoder.encode_added(embedded, [3, 1])
    for number, found in zip((3, 1), added, strict=True):
        entering, leaving = tokens[number - 1], tokens[number]
        attended = entering + encoder.block_update(entering, number)
        assert torch.allclose(found, leaving - attended, atol=1e-5), number


def test_an_encoder_without_such_networks_is_no_teacher_of_them():
    teacher = EMA(nn.ModuleDict({"encoder": MAKERS["swin"]()}))
    with pytest.raises(ValueError, match=r"Swin cannot say what .* give loss\.target\.of=block"):
        teacher(images_for(teacher.network), [1], added=True)
