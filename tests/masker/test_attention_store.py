import numpy as np
import pytest
import torch

from mim.batch import Batch, uncropped
from mim.masker.attention_store import AttentionStore, attention_weights


@pytest.fixture
def store(tmp_path):
    store = AttentionStore()
    AttentionStore.write(
        tmp_path / "run" / "attention.npy", torch.arange(5 * 4.0).view(5, 2, 2) / 20
    )
    store.open(tmp_path / "run" / "attention.npy", torch.device("cpu"))
    return store


def batch_of_index(*index, flip=False):
    B = len(index)
    view = uncropped(torch.zeros(B, 3, 2, 2))._replace(flip=torch.full((B,), flip))
    return Batch((view,), torch.full((B,), -1), torch.tensor(index), torch.arange(B))


def test_heads_are_averaged_before_or_after_each_is_stretched():
    # three heads: mean 1.1, 0.8, 1.1 over 3
    row = torch.tensor([[[0.0, 0.1, 0.2], [0.8, 0.4, 0.6], [0.3, 0.3, 0.3]]])
    assert attention_weights(row)[0].tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert attention_weights(row, "stretch_first")[0].tolist() == pytest.approx(
        [1 / 3, 0.5 / 3, 1.5 / 3]
    )
    for heads in ("mean_first", "stretch_first"):
        assert attention_weights(torch.full((1, 2, 3), 0.3), heads).eq(0).all()


def test_an_images_map_is_looked_up_by_its_index_and_flipped_with_it(store):
    ramp = torch.arange(20).view(5, 4) / 20
    assert torch.allclose(store(batch_of_index(3, 0), (2, 2)), ramp[[3, 0]], atol=1e-3)
    assert torch.allclose(
        store(batch_of_index(3, flip=True), (2, 2)), ramp[[3]][:, [1, 0, 3, 2]], atol=1e-3
    )


def test_maps_are_float16_mapped_from_a_file_and_kept_out_of_checkpoints(store, tmp_path):
    assert store.maps.dtype == torch.float16
    assert np.load(tmp_path / "run" / "attention.npy").shape == (5, 2, 2)
    assert not store.state_dict()
    assert not list(store.buffers())


def test_a_file_in_use_may_be_replaced(store, tmp_path):
    before = store.maps.clone()
    AttentionStore.write(tmp_path / "run" / "attention.npy", torch.zeros(5, 2, 2))
    assert torch.equal(store.maps, before)
    store.open(tmp_path / "run" / "attention.npy", torch.device("cpu"))
    assert store.maps.eq(0).all()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["attention.npy"]


def test_before_it_is_filled_and_for_images_that_are_not_trained_on_all_patches_weigh_the_same(
    store,
):
    assert AttentionStore()(batch_of_index(0, 7), (3, 3)).eq(1).all()
    assert store.eval()(batch_of_index(0, 7), (2, 2)).eq(1).all()


def test_a_map_of_another_grid_is_read_at_the_patches(store):
    fine = store(batch_of_index(1), (4, 4)).view(4, 4)
    assert fine[0, 0] == pytest.approx(0.2, abs=1e-3)
    assert fine[3, 3] == pytest.approx(0.35, abs=1e-3)
    assert (fine.diff(dim=1) >= 0).all()


def test_what_a_teacher_attends_to_now_is_the_map_and_nobody_need_fill_the_store(store):
    """Two heads on a grid of 2 x 4, asked for on it and on cells of 2 x 2; the kept maps are not
    looked up.
    """
    heads = torch.stack([torch.arange(8.0).view(2, 4), torch.arange(8.0).view(2, 4).flip(1)]) / 28
    batch = batch_of_index(3)._replace(attention=heads[None])
    store.live = True
    assert torch.allclose(store(batch, (2, 4)), attention_weights(heads.flatten(1)[None]))
    assert torch.allclose(
        store(batch, (1, 2)), attention_weights(torch.tensor([[[12.0, 20.0], [20.0, 12.0]]]) / 112)
    )
    store.maps = None
    store.begin_epoch(0)
    assert store(batch_of_index(3), (2, 2)).eq(1).all()  # nobody looked
    store.live = False
    with pytest.raises(ValueError, match="no callback looks where the network attends"):
        store.begin_epoch(0)
