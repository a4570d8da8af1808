"""Shards that are simulated: every image stands at one place, and nothing is kept of each."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from mim.data.shard_index import index_of

SIMULATED = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "many_shards.py"))
Order, Shards = SIMULATED["Order"], SIMULATED["Shards"]


@pytest.mark.parametrize("count", [1, 2, 3, 10, 1000, 4097])
def test_an_order_has_every_image_once_and_another_one_each_epoch(count):
    orders = [Order(count, 0, epoch)(np.arange(count)) for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == list(range(count))
    assert (orders[0] == orders[2]).all()
    assert count < 10 or (orders[0] != orders[1]).any()


def test_an_order_of_a_billion_has_images_all_over_and_any_place_alone():
    order = Order(10**9, 3, 7)
    drawn = order(np.arange(20_000))
    assert len(set(drawn.tolist())) == 20_000
    assert drawn.min() >= 0
    assert drawn.max() < 10**9
    counts = np.bincount(drawn // 10**8, minlength=10)
    assert abs(counts - 2000).max() < 6 * 2000**0.5  # six deviations of a fair draw
    assert order(np.array([17_000]))[0] == drawn[17_000]


def test_shards_are_read_at_their_place_and_take_no_room(tmp_path):
    shards = Shards(tmp_path, 10, 10**9, 110_000)
    last, offset = shards.place(10**9 - 1)
    assert last.name == "images-000009.tar"
    assert offset == (10**8 - 1) * 110_000
    assert last.stat().st_size == 10**8 * 110_000
    assert last.stat().st_blocks == 0
    assert len(shards.read(10**9 - 1)) == 110_000


def test_the_index_of_mim_takes_what_the_page_says(shards_of):
    index = index_of(shards_of)
    arrays = sum(column.nbytes for column in (index.shard, index.offset, index.size, index.label))
    names = index.name.text.nbytes + index.name.end.nbytes
    images, name = len(index.label), index.name.text.nbytes // len(index.label)
    order = 8 * images
    found = arrays + names + order
    assert found == pytest.approx(SIMULATED["memory_of_index"](images, name), abs=64)


@pytest.fixture
def shards_of(tmp_path):
    import io
    import tarfile

    shards = []
    for number in range(2):
        shards.append(tmp_path / f"{number}-train.tar")
        with tarfile.open(shards[-1], "w") as tar:
            for row in range(5):
                for name, content in ((f"{row:04d}.jpg", b"x" * 10), (f"{row:04d}.cls", b"1")):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    return shards
