"""A process that reads data dies, hangs or is slow: the run ends with a line and a checkpoint, and
goes on exactly.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from mim.data.hand_over import _Sent
from mim.run.interruption import Interruption
from tests.slow import slow

WATCH = "callback=[finite,interruption,checkpoint,results]"


@pytest.fixture
def photographs(tmp_path) -> tuple[str, ...]:
    """Settings of a training on 48 pictures, six batches an epoch, read by a process."""
    (tmp_path / "photographs").mkdir()
    generator = torch.Generator().manual_seed(0)
    for number in range(52):
        image = (torch.rand(3, 20, 24, generator=generator) * 255).byte()
        to_pil_image(image).save(tmp_path / "photographs" / f"{number}.jpg")
    return (
        *(
            "data=image_folder",
            f"data.root={tmp_path / 'photographs'}",
            "data.image_size=16",
            "data.batch_size=8",
        ),
        *(
            "data.num_workers=1",
            "encoder.patch_size=4",
            "callback.interruption.stuck_after_seconds=600",  # a slow machine may take its time
            "base_lr=1e-2",
        ),
    )


@pytest.fixture
def disturbed(train, monkeypatch) -> Callable:
    """A training whose data worker something happens to after a step."""

    def run(step: int, what: Callable[[int], None], *overrides: str):
        go_on = Interruption.on_train_batch_end

        def hurt(self, trainer, *arguments):
            go_on(self, trainer, *arguments)
            if trainer.global_step == step:
                trainer.datamodule.waiting.stuck_after = 600 if what is kill else 2
                for process in multiprocessing.active_children():
                    what(process.pid)

        with monkeypatch.context() as patch:
            patch.setattr(Interruption, "on_train_batch_end", hurt)
            patch.setattr("mim.data.loader._ASKED_TO_STOP", 2.0)
            return train(*overrides)

    return run


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def freeze_and_ask_to_stop(pid: int) -> None:
    freeze(pid)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("what", "step", "batches", "code", "says"),
    [
        (kill, 2, 1, 1, "a process that reads data died"),
        slow(kill, 4, 1, 1, "a process that reads data died"),
        slow(kill, 2, 2, 1, "a process that reads data died"),
        slow(freeze, 2, 1, 1, "has read nothing for 2 s"),
        slow(freeze_and_ask_to_stop, 2, 1, 85, "stopped by SIGTERM"),
    ],
)
def test_a_run_whose_data_worker_is_lost_saves_and_goes_on_exactly(
    train, disturbed, photographs, what, step, batches, code, says
):
    settings = (WATCH, *photographs, f"trainer.accumulate_grad_batches={batches}")
    lost = disturbed(step, what, *settings)
    assert (lost.code, lost.err.count("\n")) == (code, 1), lost.err
    assert says in lost.err
    assert f"resume={lost.folder}/checkpoints/last.ckpt" in lost.err
    resumed, undisturbed = train(*settings, f"resume={lost.folder}"), train(*settings)
    before, after, whole = (run.column("train/loss") for run in (lost, resumed, undisturbed))
    assert before | after == whole
    assert set(before) & set(after) <= {max(before)}
    assert min(after) >= step
    ours, theirs = (run.checkpoint["state_dict"] for run in (resumed, undisturbed))
    assert all(weight.equal(theirs[name]) for name, weight in ours.items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_container_without_room_in_shared_memory_trains_as_any_other(
    train, photographs, monkeypatch
):
    settings = (WATCH, *photographs)
    ordinary = train(*settings)
    monkeypatch.setattr("mim.data.loader.hand_over", partial(_Sent, shared=False))
    assert train(*settings).column("train/loss") == ordinary.column("train/loss")
