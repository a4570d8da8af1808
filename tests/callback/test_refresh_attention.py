from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mim.batch import Batch
from mim.callback.refresh_attention import RefreshAttention
from mim.encoder.encoder import cls_attention
from mim.encoder.vit import ViT
from mim.masker.attention_store import AttentionStore, attention_weights


class Runs:
    """As much of a trainer as the callback asks for: five training images in two batches, the
    second of which holds one twice.
    """

    current_epoch, max_epochs, global_step, world_size, local_rank, is_global_zero = (
        0,
        9,
        0,
        1,
        0,
        True,
    )
    loggers = ()
    precision_plugin = SimpleNamespace(forward_context=torch.no_grad)
    strategy = SimpleNamespace(
        barrier=lambda name: None, batch_to_device=lambda batch, device: batch
    )

    def __init__(self, stable_index=True):
        self.callbacks = ()
        self.image = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        self.datamodule = SimpleNamespace(
            stable_index=stable_index,
            train_size=5,
            image_size=16,
            batch_size=3,
            unaugmented_dataloader=self.batches,
        )
        self.looked = 0

    def batches(self):
        self.looked += 1
        # 3 could not be read, and 4 stands in for it
        shares = torch.tensor([0, 2, 1]), torch.tensor([4, 4])
        return [Batch.of(self.image[index])._replace(index=index) for index in shares]


@pytest.fixture
def module():
    torch.manual_seed(0)
    model = nn.Module()
    model.encoder, model.store = ViT(16, 4, 16, 2, 2, drop_path=0.5), AttentionStore()
    module = nn.Module()
    module.model, module.device = model, torch.device("cpu")
    return module


def test_the_maps_are_the_attention_of_the_last_block_in_eval_mode(module, tmp_path):
    trainer, callback = Runs(), RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=3)
    callback.on_train_start(trainer, module)
    assert module.model.store.maps.eq(1).all()
    trainer.current_epoch = 2
    callback.on_train_epoch_end(trainer, module)
    assert module.model.encoder.training
    row = cls_attention(module.model.encoder.eval(), trainer.image)
    expected = attention_weights(row).view(5, 4, 4).half()
    expected[3] = 1
    assert torch.equal(module.model.store.maps, expected)


def test_it_looks_every_n_epochs_but_not_before_the_first(module, tmp_path):
    trainer, callback = Runs(), RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=3)
    callback.on_train_start(trainer, module)
    looked = []
    for epoch in range(9):
        trainer.current_epoch = epoch
        callback.on_train_epoch_end(trainer, module)
        looked.append(trainer.looked)
    # before epochs 3 and 6; after the last there is nothing to hide
    assert looked == [0, 0, 1, 1, 1, 2, 2, 2, 2]


def test_the_first_epoch_that_uses_attention_can_be_said_as_amts_release_has_it(module, tmp_path):
    trainer, callback = (
        Runs(),
        RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=3, first_epoch=4),
    )
    callback.on_train_start(trainer, module)
    looked = []
    for epoch in range(9):
        trainer.current_epoch = epoch
        callback.on_train_epoch_end(trainer, module)
        looked.append(trainer.looked)
    assert looked == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # at the ends of epochs 3 and 6, for 4 and 7

    resumed = RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=3, first_epoch=4)
    resumed.load_state_dict(callback.state_dict())
    resumed.on_train_start(trainer, module)
    assert trainer.looked == 2  # epoch 8 uses what was made for 7


@pytest.mark.parametrize("heads", ["mean_first", "stretch_first"])
def test_a_store_says_how_heads_become_one_map(module, tmp_path, heads):
    trainer, callback = Runs(), RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=1)
    module.model.store = AttentionStore(heads)
    callback.on_train_start(trainer, module)
    callback.on_train_epoch_end(trainer, module)
    row = cls_attention(module.model.encoder.eval(), trainer.image)
    assert torch.equal(
        module.model.store.maps[0], attention_weights(row, heads)[0].view(4, 4).half()
    )


def test_maskers_that_want_different_maps_are_refused(module, tmp_path):
    module.model.other = AttentionStore("stretch_first")
    with pytest.raises(
        ValueError,
        match="share one file of maps and ask for heads=mean_first and stretch_first; give all",
    ):
        RefreshAttention(str(tmp_path / "attention.npy")).on_train_start(Runs(), module)


def test_a_checkpoint_carries_the_maps_and_when_they_were_made(module, tmp_path):
    trainer, callback = Runs(), RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=3)
    callback.on_train_start(trainer, module)
    trainer.current_epoch = 4
    callback.on_train_epoch_end(trainer, module)
    torch.save(callback.state_dict(), tmp_path / "state")

    resumed = RefreshAttention(str(tmp_path / "elsewhere" / "attention.npy"), every_n_epochs=3)
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    before, module.model.store = module.model.store.maps, AttentionStore()
    resumed.on_train_start(trainer, module)
    resumed.on_train_start(trainer, module)
    assert torch.equal(module.model.store.maps, before)
    assert trainer.looked == 1


def test_it_does_nothing_where_no_masker_keeps_attention(module, tmp_path):
    trainer, callback = (
        Runs(stable_index=False),
        RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=1),
    )
    module.model.store = nn.Identity()
    callback.on_train_start(trainer, module)
    trainer.current_epoch = 1
    callback.on_train_epoch_end(trainer, module)
    assert trainer.looked == 0
    assert not list(tmp_path.iterdir())


def test_shards_are_refused_in_one_line(module, tmp_path):
    with pytest.raises(
        ValueError, match=r"streams shards, whose images have no stable index .* \(masker=sbm\)$"
    ):
        RefreshAttention(str(tmp_path / "attention.npy")).on_train_start(
            Runs(stable_index=False), module
        )


def test_an_encoder_without_cls_attention_is_refused(module, tmp_path):
    module.model.encoder = nn.Identity()
    with pytest.raises(
        ValueError,
        match="Identity has no cls token that attends to all patches, so its attention cannot "
        "decide",
    ):
        RefreshAttention(str(tmp_path / "attention.npy")).on_train_start(Runs(), module)


def test_never_looking_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every_n_epochs=0 does not fit; it should be at least 1"):
        RefreshAttention(str(tmp_path / "attention.npy"), every_n_epochs=0)


def test_maps_of_other_images_are_refused(module, tmp_path):
    callback = RefreshAttention(str(tmp_path / "attention.npy"))
    callback.load_state_dict({"maps": torch.ones(4, 4, 4).half(), "looked_at_epoch": 40})
    with pytest.raises(
        ValueError, match="attention of 4 images, the training set has 5; resume with the data"
    ):
        callback.on_train_start(Runs(), module)
