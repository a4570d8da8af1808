"""Several targets, and one context that overlaps none of them."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mim.batch import blank
from mim.draw import keys
from mim.encoder.vit import ViT
from mim.geometry import Geometry
from mim.loss.term import Term
from mim.masker.multi_block import MultiBlock, areas, cover, visible_of
from mim.masker.split import Split
from mim.model.decoder import Decoder
from mim.model.mae import MAE
from mim.part import Progress
from mim.target.pixel import Pixel

GRID = (14, 14)


def batch_of_keys(seed, count=4):
    return blank(count, (14, 14))._replace(key=keys(seed, 0, torch.arange(count)))


def test_targets_are_cut_out_of_the_first_context_that_is_large_enough():
    targets = torch.tensor([[[0, 0, 1, 2]]])  # the two patches on the left of the first row
    tried = torch.tensor([[[[0, 0, 1, 3], [0, 0, 2, 2]], [[0, 0, 2, 3], [0, 0, 1, 1]]]])
    for fewest, inside, which in (
        (1, [2], 0),  # what the target leaves of the first place
        (2, [3, 4], 1),
        (3, [0, 1, 2, 3, 4, 5], 2),  # of no place: now it may overlap the target
    ):
        patches, first = visible_of(targets, tried, (2, 3), fewest)
        assert patches.flatten().nonzero().flatten().tolist() == inside
        assert first.tolist() == [which]


@given(
    seed=st.integers(0, 999),
    grid=st.sampled_from([GRID, (12, 16), (16, 12)]),
    border=st.booleans(),
    per=st.sampled_from(["image", "batch"]),
)
def test_the_context_is_one_and_overlaps_no_target_where_it_has_room(seed, grid, border, per):
    split = MultiBlock(3, border=border, per=per).train()(batch_of_keys(seed), grid)
    assert split.shared
    assert (split.visible == split.visible[:, :1]).all()
    largest, _ = areas(grid, (0.15, 0.2), (0.75, 1.5), border)
    _, context = areas(grid, (0.85, 1.0), (1.0, 1.0), border)
    assert context - 3 * largest >= 11  # whatever is drawn
    assert split.masked.shape == (4, 3, largest)
    for image in range(4):
        shown = set(split.visible[image, 0][split.visible_valid[image, 0]].tolist())
        assert len(shown) >= 11
        for part in range(3):
            hidden = split.masked[image, part][split.masked_valid[image, part]].tolist()
            assert hidden == sorted(hidden)
            assert not shown & set(hidden)
            rows, columns = ({divmod(patch, grid[1])[axis] for patch in hidden} for axis in (0, 1))
            assert len(hidden) == len(rows) * len(columns)  # a rectangle
            assert border or not {grid[0] - 1} & rows


def test_a_context_without_room_overlaps_the_last_target_rather_than_being_too_small():
    """16 x 7 patches: three targets take up to 66, and leave a context of 60 fewer than 11 at every
    place of some images.
    """
    split = MultiBlock(3, border=False).train()(batch_of_keys(801), (16, 7))
    assert (split.visible_valid[:, 0].sum(-1) >= 11).all()
    overlap = torch.zeros(4, 3, dtype=torch.bool)
    for image in range(4):
        shown = split.visible[image, 0][split.visible_valid[image, 0]]
        for part in range(3):
            hidden = split.masked[image, part][split.masked_valid[image, part]]
            overlap[image, part] = torch.isin(hidden, shown).any()
    assert overlap[:, 2].any()
    assert not overlap[:, 0].any()


@given(
    low=st.floats(0.05, 0.5),
    more=st.floats(0, 0.5),
    aspect=st.sampled_from([(0.75, 1.5), (0.3, 3.0), (1.0, 1.0)]),
    one_draw=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_block_is_larger_or_smaller_than_can_be(low, more, aspect, one_draw, seed):
    scale, grid = (low, min(1.0, low + more)), (9, 14)
    masker = MultiBlock(scale=scale, aspect=aspect, one_draw=one_draw)
    side = masker.sides(
        torch.rand(64, 2, generator=torch.Generator().manual_seed(seed)), scale, aspect, grid
    )
    largest, smallest = areas(grid, scale, aspect, True)
    assert smallest <= side.prod(1).amin()
    assert side.prod(1).amax() <= largest
    assert (
        cover(masker.boxes(torch.rand(64, 3, 2), side, grid), grid)
        .flatten(2)
        .sum(-1)
        .eq(side.prod(1)[:, None])
        .all()
    )


def test_a_step_has_one_size_and_images_their_own_outside_of_training():
    masker = MultiBlock(seed=3).train()
    sizes = []
    for step in range(8):
        masker.begin_step(Progress(step, 8, 1))
        here, other = (
            masker(batch_of_keys(seed), GRID).masked_valid.sum(-1).unique() for seed in (step, 99)
        )
        assert torch.equal(here, other)
        assert len(here) == 1
        sizes.append(int(here))
    assert len(set(sizes)) > 1
    assert len(masker.eval()(batch_of_keys(0, 32), GRID).masked_valid.sum(-1).unique()) > 1


def test_the_same_keys_give_the_same_blocks_and_blocks_reach_the_border():
    masker, batch = MultiBlock(), batch_of_keys(5, 64)
    one, other = masker(batch, GRID), masker(batch, GRID)
    assert torch.equal(one.masked, other.masked)
    assert 195 in one.masked[one.masked_valid]
    assert (
        195 not in (released := MultiBlock(border=False)(batch, GRID)).masked[released.masked_valid]
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"scale": [0.2, 0.1]},
            r"MultiBlock.scale=\[0.2, 0.1\] does not fit; it should be rising numbers",
        ),
        ({"scale": [0.5]}, r"MultiBlock.scale=\[0.5\] does not fit; it should be 2 values"),
        ({"context_scale": [0.5, 1.2]}, "at most 1"),
        ({"aspect": [0.0, 1.0]}, "more than 0"),
    ],
)
def test_what_is_no_range_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        MultiBlock(**settings)


def test_a_context_that_may_be_too_small_is_refused():
    with pytest.raises(
        ValueError,
        match=r"a context of 9 of 4 x 4 patches has fewer than masker\.min_visible=11; use at most "
        r"9",
    ):
        MultiBlock(context_scale=[0.7, 0.9])(batch_of_keys(0), (4, 4))


def test_a_step_of_training_is_one_graph_and_padding_changes_nothing(batch_of):
    """Three targets that no shape depends on: compiled once for all that is drawn."""
    torch.manual_seed(0)
    encoder = ViT(32, 4, 16, 1, 2, cls=False)
    masker = MultiBlock(3).train()
    model = MAE(encoder, masker, partial(Decoder, width=16, depth=1, heads=2), {"pixel": 48})
    loss, graphs = Term(Pixel(Geometry.of(4, 4))), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def step(batch):
        made = model(batch)
        return loss(made.prediction, batch.image, made.split)

    compiled = torch.compile(step, backend=backend, fullgraph=True)
    batch = batch_of(torch.randn(3, 3, 32, 32))
    for number in range(3):
        masker.begin_step(Progress(number, 3, 1))
        given = batch._replace(key=batch.key + number)
        assert torch.allclose(compiled(given), step(given), atol=1e-6)
    assert len(graphs) == 1
    made = model(batch)
    alone = made.split.part(1)
    index, valid = alone.visible[:1, 0], alone.visible_valid[0, 0]
    latent = encoder.encode(
        encoder.embed(batch.image[:1], index[:, None, valid])[:, 0], index[:, valid]
    )
    masked = alone.masked[:1, :, alone.masked_valid[0, 0]]
    expected = model.decoder(latent, Split(index[:, None, valid], masked))
    assert torch.allclose(made.prediction[:1, 1:2, alone.masked_valid[0, 0]], expected, atol=1e-5)
