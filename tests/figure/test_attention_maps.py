import numpy as np
import pytest
import torch

from mim.encoder.beit import Beit
from mim.encoder.encoder import cls_attention
from mim.encoder.swin import Swin
from mim.encoder.vit import ViT
from mim.figure.attention import HEADER, Maps, attention_figure, attention_maps

SIZES = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 3, "heads": 2}


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("encoder", [ViT, Beit])
def test_the_last_block_is_what_the_encoder_itself_says(encoder, images):
    built = encoder(**SIZES).eval()
    maps = attention_maps(built, images, "A")
    with torch.no_grad():
        expected = cls_attention(built, images)
    assert (maps.name, maps.block, maps.grid) == ("A", 3, (4, 4))
    assert torch.allclose(maps.share, expected, atol=1e-6)
    # the rest stays with the token
    assert ((maps.share.sum(-1) > 0) & (maps.share.sum(-1) < 1)).all()


def test_an_earlier_block_is_that_of_the_encoder_cut_off_there(images):
    built = ViT(**SIZES).eval()
    first = attention_maps(built, images, "A", block=1)
    built.blocks = built.blocks[:1]
    assert first.block == 1
    assert torch.equal(first.share, attention_maps(built, images, "A").share)


@pytest.mark.parametrize("block", [0, 4])
def test_a_block_that_is_not_there_is_refused(images, block):
    with pytest.raises(ValueError, match=f"--block={block}: A has blocks 1 to 3"):
        attention_maps(ViT(**SIZES).eval(), images, "A", block)


def test_an_encoder_without_a_cls_token_is_refused():
    swin = Swin(
        image_size=64, patch_size=32, width=8, depths=[1, 1, 1, 1], heads=[1, 1, 1, 1], window=2
    )
    with pytest.raises(ValueError, match="Swin has no cls token that attends to all patches"):
        attention_maps(swin.eval(), torch.rand(1, 3, 64, 64), "A")


def maps_of(name, heads, grid=(2, 2), images=2):
    share = (
        torch.rand(images, heads, grid[0] * grid[1], generator=torch.Generator().manual_seed(heads))
        / 8
    )
    return Maps(name, 12, grid, share)


def test_side_by_side_every_checkpoint_is_a_column_and_the_table_has_the_mean_over_heads(images):
    maps = [maps_of("A", 3), maps_of("B", 2, (4, 4))]
    drawn = attention_figure(images, ["7", "9"], maps, each_head=False)
    assert len(drawn.figure.axes) == 2 * 3 + 1  # and the scale
    assert [axis.get_title() for axis in drawn.figure.axes[:3]] == ["image", "A", "B"]
    rows = [dict(zip(HEADER, row, strict=True)) for row in drawn.rows]
    assert len(rows) == 2 * (4 + 16)
    chosen = {
        (row["row"], row["column"]): row["attention"]
        for row in rows
        if (row["image"], row["checkpoint"]) == ("9", "A")
    }
    expected = maps[0].share[1].mean(0).view(2, 2)
    assert chosen == {
        (i, j): pytest.approx(expected[i, j].item()) for i in range(2) for j in range(2)
    }
    assert {row["head"] for row in rows} == {"mean"}


def test_head_by_head_every_checkpoint_is_a_row_and_the_table_has_all_heads(images):
    maps = [maps_of("A", 3), maps_of("B", 2)]
    drawn = attention_figure(images, ["7", "9"], maps, each_head=True)
    titles = [axis.get_title() for axis in drawn.figure.axes[:5]]
    assert titles == ["image", "mean", "head 1", "head 2", "head 3"]
    assert [axis.get_ylabel() for axis in drawn.figure.axes[::5]][:4] == ["A", "B", "A", "B"]
    rows = [dict(zip(HEADER, row, strict=True)) for row in drawn.rows]
    third = [
        row["attention"]
        for row in rows
        if (row["image"], row["checkpoint"], row["head"]) == ("7", "A", "3")
    ]
    assert third == pytest.approx(maps[0].share[0, 2].tolist())
    assert {row["head"] for row in rows if row["checkpoint"] == "B"} == {"mean", "1", "2"}


def test_uniform_attention_is_one_on_one_scale_for_all(images):
    """4 patches and the cls token: a fifth each is uniform; twice that is drawn as 2, wherever it
    is.
    """
    share = torch.full((2, 1, 4), 0.2)
    share[1, 0, 3] = 0.4
    drawn = attention_figure(images, ["7", "9"], [Maps("A", 1, (2, 2), share)], each_head=False)
    heat = [np.asarray(axis.images[1].get_array()) for axis in drawn.figure.axes[1:4:2]]
    strong = drawn.figure.axes[-1].get_xlim()[1]
    assert strong == pytest.approx(2, abs=0.1)
    registers = attention_figure(
        images, ["7", "9"], [Maps("A", 1, (2, 2), share, prefix=6)], each_head=False
    )
    # of 10 tokens, not of 5
    assert registers.figure.axes[-1].get_xlim()[1] == pytest.approx(4, abs=0.2)
    assert heat[0] == pytest.approx(np.full((2, 2), 1 / strong))
    assert heat[1].max() == pytest.approx(1, abs=0.05)
