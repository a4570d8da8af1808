import pytest
import torch

from mim.data.sampler import OrderedRows, ShuffledRows


def epoch_of(rows: ShuffledRows, epoch: int = 0) -> list[tuple[list[int], list[int]]]:
    rows.set_epoch(epoch)
    return [(index.tolist(), key.tolist()) for index, key in rows]


def test_an_epoch_shows_each_image_once_and_drops_the_incomplete_batch():
    rows = ShuffledRows(size=23, batch_size=5, seed=0)
    batches = epoch_of(rows)
    shown = [i for index, _ in batches for i in index]
    assert len(batches) == len(rows) == 4
    assert len(set(shown)) == 20
    assert set(shown) < set(range(23))


def test_order_and_keys_follow_from_seed_and_epoch_alone():
    first = epoch_of(ShuffledRows(40, 8, seed=3), epoch=2)
    other = ShuffledRows(40, 8, seed=3)
    epoch_of(other, 0)
    torch.rand(5)
    assert epoch_of(other, 2) == first
    assert epoch_of(other, 1) != first
    assert epoch_of(ShuffledRows(40, 8, seed=4), 2) != first


def test_no_image_of_a_run_shares_a_key_with_another():
    rows = ShuffledRows(40, 8, seed=0)
    keys = [k for epoch in range(5) for _, key in epoch_of(rows, epoch) for k in key]
    assert len(set(keys)) == 200


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_together_take_the_global_batch_of_one_process(world_size):
    together = epoch_of(ShuffledRows(50, 4 * world_size, seed=0), epoch=1)
    ranks = [
        epoch_of(ShuffledRows(50, 4, 0, rank, world_size), epoch=1) for rank in range(world_size)
    ]
    for batch, parts in zip(together, zip(*ranks, strict=True), strict=True):
        assert batch == (
            [i for index, _ in parts for i in index],
            [k for _, key in parts for k in key],
        )


def test_accumulated_batches_are_the_rows_of_one_large_batch():
    large, small = epoch_of(ShuffledRows(48, 16, seed=0)), epoch_of(ShuffledRows(48, 4, seed=0))
    assert [row for index, _ in large for row in index] == [
        row for index, _ in small for row in index
    ]
    assert [k for _, key in large for k in key] == [k for _, key in small for k in key]


def test_a_resumed_epoch_yields_what_is_left_and_the_next_is_whole():
    whole, resumed = ShuffledRows(40, 8, seed=0), ShuffledRows(40, 8, seed=0, start=(2, 3))
    # before anyone sets the epoch
    rest = [(index.tolist(), key.tolist()) for index, key in resumed]
    assert rest == epoch_of(whole, 2)[3:]
    assert epoch_of(resumed, 2) == rest
    assert epoch_of(resumed, 3) == epoch_of(whole, 3)
    assert len(resumed) == len(whole) == 5


def test_unshuffled_epochs_are_all_alike():
    rows = ShuffledRows(20, 4, seed=0, shuffle=False)
    assert epoch_of(rows, 0) == epoch_of(rows, 7)
    assert epoch_of(rows)[1][0] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("batch_size", "world_size", "accumulated"),
    [(101, 1, 1), (51, 2, 1), (0, 1, 1), (30, 1, 4), (13, 2, 4)],
)
def test_a_step_larger_than_the_set_is_refused(batch_size, world_size, accumulated):
    most = 100 // world_size // accumulated
    with pytest.raises(
        ValueError, match=rf"training set has 100 images; allowed: 1 to {most}\. Lower it"
    ):
        ShuffledRows(100, batch_size, seed=0, world_size=world_size, accumulated=accumulated)


def test_an_epoch_is_the_same_images_however_a_step_of_16_is_split():
    """Of 40 images, 16 a step: two steps, and the last 8 images are left out."""

    def shown(batch_size, world_size, accumulated):
        ranks = [
            epoch_of(ShuffledRows(40, batch_size, 0, rank, world_size, accumulated=accumulated))
            for rank in range(world_size)
        ]
        return [
            [sorted(i for rank in ranks for index, _ in rank[at : at + accumulated] for i in index)]
            for at in range(0, len(ranks[0]), accumulated)
        ]

    whole = shown(16, 1, 1)
    assert len(whole) == 2
    assert shown(4, 1, 4) == shown(4, 2, 2) == shown(2, 4, 2) == shown(1, 1, 16) == whole


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ordered_rows_hold_each_image_once_over_all_ranks(world_size):
    ranks = [OrderedRows(11, 4, 0, rank, world_size) for rank in range(world_size)]
    assert sorted(i for rows in ranks for index, _ in rows for i in index.tolist()) == list(
        range(11)
    )
    assert [len(list(rows)) for rows in ranks] == [len(rows) for rows in ranks]


def test_a_clean_image_keeps_its_key_whatever_the_batch_or_rank():
    key_of = {
        i: k
        for index, key in OrderedRows(11, 4, 0)
        for i, k in zip(index.tolist(), key.tolist(), strict=True)
    }
    for index, key in OrderedRows(11, 3, 0, rank=1, world_size=2):
        assert [key_of[i] for i in index.tolist()] == key.tolist()


def test_ordered_rows_among_some_images_spread_the_limit_over_those():
    among = torch.tensor([2, 3, 5, 7, 11, 13])
    assert torch.cat([rows.index for rows in OrderedRows(20, 4, 0, among=among)]).equal(among)
    assert torch.cat(
        [rows.index for rows in OrderedRows(20, 4, 0, limit=3, among=among)]
    ).tolist() == [2, 5, 11]


def test_where_all_batches_of_an_epoch_are_done_none_is_left_and_the_next_epoch_is_whole():
    rows = ShuffledRows(100, 10, seed=0, start=(1, 6), limit=6)
    assert (len(rows), list(rows)) == (6, [])
    rows.set_epoch(2)
    whole = ShuffledRows(100, 10, seed=0)
    whole.set_epoch(2)
    assert [r.index.tolist() for r in rows] == [r.index.tolist() for r in whole][:6]


def test_the_last_epoch_of_a_training_may_be_shorter():
    rows = ShuffledRows(100, 10, seed=0, last=(1, 3))
    counts = []
    for epoch in range(3):
        rows.set_epoch(epoch)
        counts.append((len(rows), len(list(rows))))
    assert counts == [(10, 10), (3, 3), (10, 10)]


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_repeated_images_follow_each_other_with_keys_of_their_own_on_different_processes(
    world_size,
):
    """As DeiT's RASampler: 48 views of an epoch are 3 of each of 16 images."""
    together = epoch_of(ShuffledRows(48, 12, seed=0, repeats=3), epoch=1)
    shown = [i for index, _ in together for i in index]
    assert shown == [i for i in dict.fromkeys(shown) for _ in range(3)]
    assert len(set(shown)) == 16
    assert len({key for _, keys in together for key in keys}) == 48
    ranks = [
        epoch_of(ShuffledRows(48, 12 // world_size, 0, rank, world_size, repeats=3), epoch=1)
        for rank in range(world_size)
    ]
    for whole, parts in zip(together, zip(*ranks, strict=True), strict=True):
        for place, rank in enumerate(parts):  # as RASampler deals them out: every so manieth
            assert rank == (whole[0][place::world_size], whole[1][place::world_size])
    if world_size == 3:
        assert all(len(set(index)) == len(index) for rank in ranks for index, _ in rank)


def test_a_resumed_epoch_of_repeated_images_yields_what_is_left_and_another_epoch_other_images():
    whole = ShuffledRows(48, 12, seed=0, repeats=3)
    resumed = ShuffledRows(48, 12, seed=0, start=(2, 1), repeats=3)
    assert epoch_of(resumed, 2) == epoch_of(whole, 2)[1:]
    shown = [{i for index, _ in epoch_of(whole, epoch) for i in index} for epoch in range(6)]
    assert len(set.union(*shown)) > 40
    with pytest.raises(ValueError, match=r"repeats=0 views .* e\.g\. data\.augment\.repeats=3"):
        ShuffledRows(48, 12, seed=0, repeats=0)
