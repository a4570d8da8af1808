import warnings
from types import SimpleNamespace

import pytest
import pytorch_lightning as L
import torch

from mim.augment.boxes import TorchvisionBoxes
from mim.augment.crop_flip import CropFlip
from mim.augment.no_augment import NoAugment
from mim.data.digits import Digits
from mim.data.image_folder import ImageFolder

AUGMENT = CropFlip(TorchvisionBoxes())


def alike(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.tensors, b.tensors, strict=True))


def on_rank(data, rank, world_size):
    """The data set as one of several processes sees it."""
    progress = SimpleNamespace(batch_progress=SimpleNamespace(total=SimpleNamespace(processed=0)))
    data.trainer = SimpleNamespace(
        global_rank=rank,
        world_size=world_size,
        limit_train_batches=1.0,
        fit_loop=SimpleNamespace(epoch_loop=progress),
        accumulate_grad_batches=1,
    )
    return data


@pytest.mark.parametrize("in_memory", [True, False])
def test_batches_do_not_depend_on_the_number_of_workers(pictures, in_memory):
    root = str(pictures("all", 40))

    def batches(workers):
        data = ImageFolder(root, AUGMENT, 16, 8, in_memory=in_memory, num_workers=workers)
        return [data.on_after_batch_transfer(batch) for batch in data.train_dataloader()]

    first, *others = (batches(workers) for workers in (0, 1, 2))
    assert len(first) == 4
    for other in others:
        assert all(alike(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader", "bank_dataloader"])
def test_ranks_together_see_what_one_process_sees(loader):
    def seen(rank, world_size, batch_size):
        data = on_rank(Digits(AUGMENT, 16, batch_size), rank, world_size)
        batches = map(data.on_after_batch_transfer, getattr(data, loader)())
        rows = [
            torch.cat(column) for column in zip(*(batch.tensors for batch in batches), strict=True)
        ]
        return [column[rows[5].argsort()] for column in rows]  # by key

    alone = seen(0, 1, 300)
    together = [
        torch.cat(columns) for columns in zip(seen(0, 2, 150), seen(1, 2, 150), strict=True)
    ]
    order = together[5].argsort()
    for one, several in zip(alone, together, strict=True):
        assert torch.allclose(one.float(), several[order].float(), atol=1e-5)


def test_the_bank_is_the_training_set_and_shares_nothing_with_what_is_held_out():
    data = Digits(AUGMENT, 8, 100)
    bank, val = (
        torch.cat([b.image for b in loader]).flatten(1)
        for loader in (data.bank_dataloader(), data.val_dataloader())
    )
    assert (len(bank), len(val)) == (data.train_size, 450) == (1347, 450)
    assert not {tuple(row) for row in bank.tolist()} & {tuple(row) for row in val.tolist()}
    train = next(iter(data.train_dataloader()))
    assert torch.equal(train.image.flatten(1), bank[train.index])  # cropped only on the device
    assert torch.equal(train.label, data.splits.bank.label[train.index])


def test_clean_images_are_whole_and_in_order_and_the_same_every_time():
    data = Digits(AUGMENT, 8, 100)
    first, again = (
        list(map(data.on_after_batch_transfer, data.val_dataloader())) for _ in range(2)
    )
    assert all(alike(a, b) for a, b in zip(first, again, strict=True))
    assert torch.cat([b.index for b in first]).tolist() == list(range(450))
    assert torch.cat([b.box for b in first]).unique(dim=0).tolist() == [[0, 0, 1, 1]]
    assert not torch.cat([b.flip for b in first]).any()


def test_images_leave_the_module_normalised():
    data = Digits(NoAugment(), 8, 1347)
    batch = data.on_after_batch_transfer(next(iter(data.bank_dataloader())))
    assert (batch.image.shape, batch.image.dtype) == ((1347, 3, 8, 8), torch.float32)
    assert batch.image.mean().item() == pytest.approx(0, abs=0.02)
    assert batch.image.std().item() == pytest.approx(1, abs=0.02)
    grey = batch.image[0, 0] * data.std[0] + data.mean[0]
    assert torch.allclose(grey * 255, data.splits.bank.image[0, 0].float(), atol=1e-3)


def test_reading_data_does_not_touch_the_global_random_stream(pictures):
    data = ImageFolder(str(pictures("all", 20)), AUGMENT, 16, 8, num_workers=1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_look_the_same_from_memory_and_from_files(pictures):
    # resizing on the way into memory would change them
    root = str(pictures("all", 20, size=32, varied=False))
    memory, files = (
        ImageFolder(root, AUGMENT, 32, 18, in_memory=choice, num_workers=0)
        for choice in (True, False)
    )
    a, b = next(iter(memory.train_dataloader())), next(iter(files.train_dataloader()))
    assert all(torch.equal(x, y) for x, y in zip(a.tensors[1:], b.tensors[1:], strict=True))
    assert set(a.flip.tolist()) == {True, False}
    difference = memory.splits.train.finish(a.views[0]) - files.splits.train.finish(b.views[0])
    assert difference.abs().max() <= 1.5  # of 255: files are rounded after each direction


class Watch(L.LightningModule):
    """Remember the batches, train next to nothing."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append(
            (
                self.current_epoch,
                batch_idx,
                batch.index.tolist(),
                batch.key.tolist(),
                batch.image.sum().item(),
            )
        )
        return self.weight * batch.image.mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class SaveEachStep(L.Callback):
    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_end(self, trainer, *_):
        trainer.save_checkpoint(
            self.folder / f"{trainer.fit_loop.epoch_loop.batch_progress.total.processed}.ckpt"
        )


@pytest.mark.parametrize(
    ("accumulate", "limit"), [(1, 1.0), (2, 1.0), (3, 1.0), (1, 3), (2, 3), (1, 0.8)]
)
def test_a_run_resumed_after_any_step_sees_the_batches_of_the_uninterrupted_run(
    tmp_path, accumulate, limit
):
    def fit(checkpoint=None, callbacks=()):
        module = Watch()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = L.Trainer(
                accelerator="cpu", max_epochs=2, accumulate_grad_batches=accumulate,
                limit_train_batches=limit,
                callbacks=list(callbacks), use_distributed_sampler=False, logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            trainer.fit(module, datamodule=Digits(AUGMENT, 8, 330), ckpt_path=checkpoint)
        return module.seen

    whole = fit(callbacks=[SaveEachStep(tmp_path)])
    of_an_epoch = 4 if limit == 1.0 else 3
    assert len(whole) == 2 * (of_an_epoch // accumulate * accumulate)
    for step in range(1, len(whole) + 1):
        assert fit(tmp_path / f"{step}.ckpt") == whole[step:]


def test_a_limit_that_leaves_no_whole_step_is_refused():
    data = Digits(AUGMENT, 8, 100)
    data.trainer = SimpleNamespace(
        accumulate_grad_batches=4, limit_train_batches=3, world_size=1, global_rank=0
    )
    with pytest.raises(
        ValueError,
        match=r"limit_train_batches=3 takes 3 of the 4 batches of a step; take 4 at least",
    ):
        _ = data.batches_per_epoch


def test_a_batch_larger_than_the_set_is_refused_before_training():
    with pytest.raises(ValueError, match=r"data\.batch_size=2000 .* 1347 images"):
        Digits(AUGMENT, 8, 2000).train_dataloader()


def test_whole_pictures_are_the_training_pictures_with_their_indices(pictures):
    """In memory and from files; each once, nothing cut off, nothing mirrored, whatever the
    augmentation does to them.
    """
    root = pictures("train/cat", 5)
    pictures("val/cat", 2)
    for in_memory in (False, True):
        data = ImageFolder(
            str(root),
            CropFlip(TorchvisionBoxes(), flip=1.0),
            16,
            2,
            in_memory=in_memory,
            num_workers=0,
        )
        data.setup()
        batches = list(data.unaugmented_dataloader())
        assert torch.cat([batch.index for batch in batches]).tolist() == list(range(5))
        assert all(
            torch.equal(batch.box, torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(len(batch.box), 4))
            for batch in batches
        )
        assert not any(batch.flip.any() for batch in batches)
