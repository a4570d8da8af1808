"""Several faults in one run, one in each attempt: what is left in the end is what a run leaves that
was never disturbed.
"""

import os
import random
import signal
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from mim.callback.online_probe import OnlineProbe
from mim.callback.reconstructions import Reconstructions
from mim.callback.refresh_attention import RefreshAttention
from mim.checkpoint.atomic import AtomicCheckpointIO
from mim.logger.csv import _Writer
from mim.run.checkpoint import Checkpoint
from mim.run.non_finite_loss import StopOnNonFiniteLoss
from mim.run.results import Results
from mim.train.finetune import Finetune
from mim.train.training import Training
from tests.faults.faults import _after, _before
from tests.faults.process import start
from tests.faults.remains import Remains, differences, remains
from tests.faults.trial import images, prepare

Begin = Callable[[list[str], Path, Callable[[], None]], BaseProcess]
SECONDS = 600  # after which an attempt hangs
ATTEMPTS = 3  # without a fault, of which the first ought to do
CODES = {
    signal.SIGKILL: (-9, 0),
    signal.SIGINT: (130, 0),
    signal.SIGTERM: (85, 0),
    signal.SIGUSR1: (85, 0),
}
SIGNALS = tuple(CODES)

COMMON = (
    *(
        "epochs=3",
        "warmup_epochs=1",
        "data.batch_size=32",
        "trainer.limit_train_batches=6",
        "trainer.accelerator=cpu",
    ),
    *("trainer.log_every_n_steps=1", "resume=auto", "watch_every_n_epochs=1"),
    *("callback.checkpoint.last_every_n_steps=2", "callback.checkpoint.keep_every_n_epochs=1"),
)
PROBED = (
    *("callback.online_probe.bank_limit=64", "callback.online_probe.held_out_limit=64"),
    *("~callback.online_probe.judges.linear", "callback.reconstructions.count=1"),
)
PRETRAINED = (*PROBED, "encoder.depth=2", "model.decoder.depth=1")
WITHOUT_PICTURES = (*PRETRAINED[:3], "~callback.reconstructions", *PRETRAINED[4:])
FINETUNED = ("task=finetune", "encoder.drop_path=0.2", "encoder.depth=2")
MIXUP = (
    "task.mix={_target_: timm.data.mixup.Mixup, _partial_: true, mixup_alpha: 0.8, cutmix_alpha: "
    "1.0}"
)
FILES = ("data.root={images}", "data.num_workers=2", "data.image_size=32")
TWO = ("trainer.devices=2", "data.batch_size=16", "callback.lost_rank.patience=10")
SETTINGS: dict[str, tuple[str, ...]] = {
    "MAE": PRETRAINED,
    "SimMIM with Swin": (*PROBED, "model=simmim", "encoder=swin_pico"),
    "EMAE with drop path": (*PRETRAINED, "masker=emae", "loss=emae", "encoder.drop_path=0.2"),
    "AMT with refresh": (*PRETRAINED, "masker=amt", "callback.refresh_attention.every_n_epochs=1"),
    "a scheduled masker": (
        *(
            *WITHOUT_PICTURES,
            "masker=scheduled",
            "masker.at_epoch=2",
            "callback.refresh_attention.every_n_epochs=2",
        ),
    ),
    "fine-tuning with mixup": (*FINETUNED, MIXUP),
    "a weight average": (
        *FINETUNED,
        "callback=[weight_average,finetune]",
        "callback.weight_average.decay=0.9",
    ),
    "bf16": (*WITHOUT_PICTURES, "trainer.precision=bf16-mixed"),
    "accumulation that does not divide the epoch": (
        *WITHOUT_PICTURES,
        "images_per_step=64",
        "trainer.limit_train_batches=13",
    ),
    "clipping": (*WITHOUT_PICTURES, "trainer.gradient_clip_val=0.5"),
    "a length in steps": (*FINETUNED, "steps=15", "warmup_epochs=0"),
    "files with workers": (*WITHOUT_PICTURES, "data=image_folder", *FILES),
    "shards": (*FINETUNED, "data=webdataset", "data.root={shards}", *FILES[1:]),
    "DDP": (*PRETRAINED, "trainer=ddp", *TWO),
    "fine-tuning under DDP": (*FINETUNED, "trainer=ddp", *TWO),
    "FSDP": (*WITHOUT_PICTURES, "trainer=fsdp", *TWO),
    "fine-tuning under FSDP": (*FINETUNED, "trainer=fsdp", *TWO),
}

# before or after which call, and up to which of them
MOMENTS: dict[str, tuple[Callable[..., None], Any, str, int]] = {
    "in a step": (_before, Training, "on_train_batch_start", 8),
    "after a step": (_after, StopOnNonFiniteLoss, "on_train_batch_end", 8),
    "once a checkpoint is written": (_after, AtomicCheckpointIO, "save_checkpoint", 6),
    "once a row is written": (_after, _Writer, "save", 10),
    "while rows of an earlier attempt are dropped": (_before, _Writer, "_write", 3),
    "as an epoch ends": (_before, StopOnNonFiniteLoss, "on_train_epoch_end", 3),
    "while features are judged": (_before, OnlineProbe, "judge", 4),
    "while held-out images are judged": (_before, Finetune, "validation_step", 4),
    "once held-out images are judged": (_after, Finetune, "on_validation_epoch_end", 3),
    "while a picture is drawn": (_before, Reconstructions, "_draw", 3),
    "while attention is looked at": (_before, RefreshAttention, "_look", 2),
    "once an epoch has ended": (_after, Checkpoint, "on_train_epoch_end", 3),
    "at the very end": (_before, Results, "on_train_end", 1),
}
WHILE_SAVING = "while a checkpoint is written"


class Blow(NamedTuple):
    """One fault of a chain."""

    signum: int
    moment: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{signal.Signals(self.signum).name} {self.moment} ({self.nth})"


class Chain(NamedTuple):
    """What went wrong, of how many faults that struck."""

    struck: int
    wrong: list[str]


def strike(blow: Blow) -> None:
    """In a process that is to train: let the fault come, in the first of its ranks."""
    hits: list[int] = []

    def hit(*_: Any) -> None:
        hits.append(1)
        if len(hits) == blow.nth and os.environ.get("LOCAL_RANK", "0") == "0":
            os.kill(os.getpid(), blow.signum)

    if blow.moment == WHILE_SAVING:
        save = torch.save

        def half(content: Any, file: Any) -> None:
            if file.seekable():
                file.write(b"half a checkpoint")
                file.flush()
                hit()
                file.seek(0)
            else:  # one tensor of the file that a process writes its share into
                hit()
            save(content, file)

        torch.save = half
    else:
        when, owner, method, _ = MOMENTS[blow.moment]
        when(owner, method, hit)


def drawn(dice: random.Random, settings: str) -> list[Blow]:
    """One to four faults."""
    given = " ".join(SETTINGS[settings])
    happens = {
        "held-out": "task=finetune" in given,
        "features": "online_probe" in given,
        "a picture": "reconstructions.count" in given,
        "attention": "refresh_attention" in given,
    }
    moments = [
        WHILE_SAVING,
        *(m for m in MOMENTS if all(happens[word] for word in happens if word in m)),
    ]
    chosen = [dice.choice(moments) for _ in range(dice.randint(1, 4))]
    return [
        Blow(dice.choice(SIGNALS), m, dice.randint(1, 6 if m == WHILE_SAVING else MOMENTS[m][3]))
        for m in chosen
    ]


def chain(settings: str, blows: list[Blow], room: Path, begin: Begin = start) -> Chain:
    """One attempt for each fault, then one without, all in one folder; held against the undisturbed
    run.

    Args:
        settings: by name.
        blows: the faults.
        room: an empty folder.
        begin: how a training is begun.
    """
    expected, wrong, struck = undisturbed(settings, begin), [], 0
    for blow in blows:
        code, said = attempt(settings, room, partial(strike, blow), begin)
        struck += code != 0
        wrong += (
            []
            if code in CODES[signal.Signals(blow.signum)] or _lost(settings, blow, code)
            else [f"{code}: {said}"]
        )
    code, said = attempt(settings, room, begin=begin)
    wrong += [] if code == 0 else [f"going on ended with {code}: {said}"]
    return Chain(
        struck, wrong + differences(expected, remains(room / "run")) if code == 0 else wrong
    )


def _lost(settings: str, blow: Blow, code: int | None) -> bool:
    """Of several ranks one that is killed leaves the others, which say so."""
    return code == 1 and "trainer.devices=2" in SETTINGS[settings] and blow.signum == signal.SIGKILL


@cache
def undisturbed(settings: str, begin: Begin = start) -> Remains:
    """Train once without any trouble."""
    with tempfile.TemporaryDirectory() as room:
        code, said = attempt(settings, Path(room), begin=begin)
        if code != 0:
            raise RuntimeError(f"the undisturbed run of {settings} ended with {code}: {said}")
        return remains(Path(room) / "run")


def attempt(
    settings: str, room: Path, fault: Callable[[], None] | None = None, begin: Begin = start
) -> tuple[int | None, str]:
    """Exit code and last line of a training in `room/run`; all that all attempts say is in
    `room/said.log`.
    """
    (room / "tmp").mkdir(exist_ok=True)
    places = (
        {"images": images(), "shards": shards()}
        if "data.root" in " ".join(SETTINGS[settings])
        else {}
    )
    given = [*COMMON, *SETTINGS[settings]]
    for name, place in places.items():
        given = [setting.replace("{" + name + "}", str(place)) for setting in given]
    surroundings = {"TMPDIR": str(room / "tmp"), "OMP_NUM_THREADS": "1", "MIM_TRACEBACK": "0"}
    log = room / "said.log"
    process = begin(
        [*given, "hydra.run.dir=run"],
        log,
        partial(prepare, surroundings, partial(_in, room, fault)),
    )
    process.join(SECONDS)
    code = process.exitcode
    if code is None or "trainer.devices=2" in SETTINGS[settings]:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # other ranks, as whoever started them does
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return code, lines[-1] if lines else ""


def _in(room: Path, fault: Callable[[], None] | None) -> None:
    os.chdir(room)
    if fault:
        fault()


@cache
def shards() -> Path:
    """The same pictures as `images`, in tar files."""
    root = Path(tempfile.mkdtemp(prefix="faults_shards_"))
    for split in ("train", "val"):
        with tarfile.open(root / f"{split}-0000.tar", "w") as tar:
            for number, picture in enumerate(sorted((images() / split).glob("*/*.png"))):
                tar.add(picture, f"{number:05d}.png")
                label = root / "label"
                label.write_text(picture.parent.name)
                tar.add(label, f"{number:05d}.cls")
    return root
