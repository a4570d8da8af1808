"""Start processes as torchrun does, from the test: it holds the table that torchrun holds, and no
third process is needed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from mim.checkpoint.atomic import AtomicCheckpointIO
from tests.stored import Golden

ROOT = Path(__file__).parents[2]


TOKENIZERS = ("dalle_encoder", "vqkd")


class Ended(NamedTuple):
    """How one process ended."""

    code: int
    out: str
    err: str


def start(programs: Sequence[Sequence[str]], runs: Path, seconds: float = 900) -> list[Ended]:
    """Run one command line of Python a process, all in one group, and wait for them."""
    table = TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60)
    )
    count = str(len(programs))
    group = {
        **{
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(table.port),
            "WORLD_SIZE": count,
            "LOCAL_WORLD_SIZE": count,
        },
        **{
            "GROUP_RANK": "0",
            "GROUP_WORLD_SIZE": "1",
            "TORCHELASTIC_RUN_ID": "tests",
            "TORCHELASTIC_RESTART_COUNT": "0",
        },
        **{"TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"},
        **{"MIM_RUNS": str(runs), "MIM_TRACEBACK": "0", "OMP_NUM_THREADS": "1"},
    }
    processes = [
        subprocess.Popen(
            [sys.executable, *program],
            cwd=ROOT,
            env=os.environ | group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, program in enumerate(programs)
    ]
    try:
        said = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        Ended(process.returncode, *words) for process, words in zip(processes, said, strict=True)
    ]


def one_after_another(processes: int, jobs: dict[str, Sequence[str]], runs: Path) -> None:
    """Many runs, one after another, on processes that are started once: starting Python anew takes
    seconds.
    """
    lines = json.dumps([[f"name={name}", *overrides] for name, overrides in jobs.items()])
    ended = start([["tests/distributed/several.py", lines]] * processes, runs)
    assert [each.code for each in ended] == [0] * processes, "\n".join(each.err for each in ended)


class Run(NamedTuple):
    """What a run left."""

    folder: Path

    @property
    def losses(self) -> dict[int, float]:
        header, *lines = (
            line.split(",") for line in (self.folder / "metrics.csv").read_text().splitlines()
        )
        at, step = header.index("train/loss"), header.index("step")
        return {int(line[step]): float(line[at]) for line in lines if line[at]}

    @property
    def weights(self) -> dict[str, Tensor]:
        return AtomicCheckpointIO().load_checkpoint(self.folder / "checkpoints" / "last.ckpt")[
            "state_dict"
        ]

    @property
    def metrics(self) -> dict[str, float]:
        return json.loads((self.folder / "results.json").read_text())["metrics"]

    def masks(self, rank: int) -> list[tuple[Tensor, Tensor]]:
        return torch.load(self.folder / f"masks_{rank}.pt")


SHORT = (
    *(
        "images_per_step=128",
        "trainer.accelerator=cpu",
        "trainer.log_every_n_steps=1",
        "epochs=2",
        "warmup_epochs=1",
    ),
    *("trainer.limit_train_batches=5", "trainer.gradient_clip_val=0.5"),
    *(
        "callback=[refresh_attention,checkpoint,results]",
        "callback.checkpoint.keep_every_n_epochs=1",
    ),
)
MASKS = "+callback.masks._target_=tests.distributed.masks.Masks"
# 129 held-out images are 65 for one of two processes, which is a batch more than the other has
JUDGED = ("callback=[online_probe,checkpoint,results]", "callback.online_probe.held_out_limit=129")
CODED = ("encoder=beit_pico", "data.mean=imagenet", "data.std=imagenet")
DALLE, VQKD = (f"<runs>/{name}.pt" for name in TOKENIZERS)
METHODS = {
    "mae": (*JUDGED, MASKS),
    "data2vec": (
        MASKS,
        "loss=features",
        "loss.target.blocks=2",
        "teacher=ema",
        "teacher.momentum=0.9",
    ),
    "ibot": (
        *(
            MASKS,
            "images_per_step=16",
            "model=ibot",
            "+encoder.positions=learned",
            "loss.term.cls.out=32",
        ),
        *("model.head.hidden=32", "model.head.bottleneck=16", "augment@data.augment=multi_crop"),
        *(
            "data.augment.local_crops=2",
            "data.augment.local_size=16",
            "data.augment.jittered=0",
            "data.augment.grey=0",
        ),
        *("data.augment.blur=[0,0,0]", "data.augment.solarize=[0,0,0]"),
    ),
    "emae": (MASKS, "masker=emae", "loss=emae"),
    "beit": (
        MASKS,
        *CODED,
        "model=simmim",
        "masker=block",
        "loss=codes",
        "loss.target.codes=64",
        f"loss.target.tokenizer={DALLE}",
    ),
    "cae": (
        *(
            MASKS,
            *CODED,
            "model=cae",
            "teacher.late=true",
            "encoder.positions=sincos_rows_first",
            "+encoder.start=cae",
        ),
        *("loss.term.codes.target.codes=64", f"loss.term.codes.target.tokenizer={VQKD}"),
        "loss.term.codes.target.heads=3",
    ),
    "amt": (
        MASKS,
        "masker=amt",
        "callback.refresh_attention.every_n_epochs=1",
        "epochs=3",
        "trainer.limit_train_batches=4",
    ),
}
CMAE = (
    *(
        "model=cmae",
        "model.projector.hidden=32",
        "model.predictor.hidden=32",
        "callback=[checkpoint,results]",
    ),
    *(
        "augment@data.augment=shifted_pair",
        "data.augment.margin=4",
        "data.augment.shift=4",
        "data.augment.jittered=0.2",
    ),
)
SPLITS = {"ddp": ("trainer=ddp",), "fsdp": ("trainer=fsdp",)}
UNCOLOURED = (
    *("images_per_step=16", "data.augment.jittered=0"),
    *("data.augment.grey=0", "data.augment.blur=[0,0,0]", "data.augment.solarize=[0,0,0]"),
)
SIAMESE = {
    "moco_v3": (
        *("model=moco_v3", "augment@data.augment=multi_crop_moco_v3", "model.head.hidden=32"),
        *("model.predictor.hidden=32", "loss.term.contrast.out=16", *UNCOLOURED),
    ),
    "msn": (
        *("model=msn", "augment@data.augment=multi_crop_msn", "data.augment.local_crops=2"),
        *("model.head.hidden=32", "loss.term.match.out=16", "loss.term.match.prototypes=32"),
        *("+encoder.positions=learned", "masker.partition.ratio=0.3", *UNCOLOURED),
        "data.augment.local_size=16",
    ),
}
ACCUMULATED = ("trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=10")
FINETUNE = (
    *(
        "task=finetune",
        "callback=[checkpoint,results]",
        "callback.checkpoint.keep_every_n_epochs=null",
    ),
    "data._target_=tests.distributed.uneven.Uneven",
)
SCENES = (
    *(
        "data=scattered_digits",
        "data.train_scenes=16",
        "data.held_out=5",
        "data.image_size=32",
        "encoder.patch_size=4",
    ),
    *("images_per_step=8", "data.batch_size=4", "epochs=1", "trainer.limit_train_batches=null"),
    *("callback=[checkpoint,results]", "callback.checkpoint.keep_every_n_epochs=null"),
)
DENSE = {
    "segment": (
        "task=segment",
        *SCENES,
        "warmup_epochs=0",
        "head.dropout=0",
        "head.auxiliary_width=16",
    ),
    "detect": ("task=detect", *SCENES, "warmup_steps=1"),
}
ON_TWO = {
    **{
        f"{name}_{how}": (*method, *split)
        for name, method in METHODS.items()
        for how, split in SPLITS.items()
    },
    **{f"mae_{how}_accumulated": (*split, *ACCUMULATED) for how, split in SPLITS.items()},
    "cmae_ddp": (*CMAE, *SPLITS["ddp"]),
    **{f"{name}_{how}": (*SIAMESE[name], *SPLITS[how]) for name in SIAMESE for how in SPLITS},
    **{
        f"{name}_ddp_accumulated": (*SIAMESE[name], "trainer=ddp", *ACCUMULATED) for name in SIAMESE
    },
    "mae_fsdp_replicas": (*SPLITS["fsdp"], "trainer.strategy.replicas=2"),
    "mae_ddp_from_fsdp": (*SPLITS["ddp"], "resume=@mae_fsdp"),
    **{f"finetune_{how}": (*FINETUNE, *split) for how, split in SPLITS.items()},
    **{f"{name}_ddp": (*overrides, *SPLITS["ddp"]) for name, overrides in DENSE.items()},
    "mae_fsdp_from_ddp": (*SPLITS["fsdp"], "resume=@mae_ddp"),
}
ON_ONE = {
    **{f"{name}_one": method for name, method in METHODS.items()},
    "finetune_one": FINETUNE,
    "cmae_one": CMAE,
    **{
        f"{name}_one": (*overrides, "trainer.accumulate_grad_batches=1", "data.batch_size=8")
        for name, overrides in DENSE.items()
    },
    **{f"{name}_one": method for name, method in SIAMESE.items()},
    **{f"{name}_one_accumulated": (*method, *ACCUMULATED) for name, method in SIAMESE.items()},
    **{f"{name}_one_resumed": (*method, f"resume=@{name}_one") for name, method in SIAMESE.items()},
    "ibot_one_resumed": (*METHODS["ibot"], "resume=@ibot_one"),
    "cae_one_resumed": (*METHODS["cae"], "resume=@cae_one"),
    "mae_one_from_fsdp": ("resume=@mae_fsdp",),
    "data2vec_one_from_fsdp": (*METHODS["data2vec"], "resume=@data2vec_fsdp"),
    "amt_fsdp_alone_from_fsdp": (*METHODS["amt"], "trainer=fsdp", "resume=@amt_fsdp"),
}


# what the tests of every day need: they are all in one file, so that one process of pytest makes
# them once
OFTEN = {"mae_one", "mae_ddp", "mae_fsdp", "finetune_one", "finetune_ddp"} | {
    *("mae_one_from_fsdp", "mae_ddp_from_fsdp", "mae_fsdp_from_ddp")
}


@pytest.fixture(scope="session")
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Run]:
    """Each method on one process, and split over two: `mae_one`, `mae_ddp`, ... Some go on from
    what another saved.
    """
    all_of_them = any(item.get_closest_marker("slow") for item in request.session.items)
    runs = tmp_path_factory.mktemp("runs")
    for name in TOKENIZERS:
        torch.save(Golden(name).under("sd."), runs / f"{name}.pt")
    made: list[str] = []
    for processes, jobs in ((2, ON_TWO), (1, ON_ONE)):
        wanted = {name: [*SHORT, *jobs[name]] for name in jobs if all_of_them or name in OFTEN}
        one_after_another(processes, wanted, runs)
        made += wanted
    return {name: Run(*runs.glob(f"{name}/*")) for name in made}  # one run has one folder


@pytest.fixture
def apart() -> Callable[[dict[str, Tensor], dict[str, Tensor]], float]:
    """The largest difference of two models, but for key biases: their gradient is rounding noise,
    which Adam turns into steps.
    """

    def measure(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
        assert ours.keys() == theirs.keys()
        largest = 0.0
        for name, weight in ours.items():
            pairs = [(weight, theirs[name])]
            if name.endswith("qkv.bias"):
                query, _, value = zip(weight.chunk(3), theirs[name].chunk(3), strict=True)
                pairs = [query, value]
            largest = max(largest, *((mine - other).abs().max().item() for mine, other in pairs))
        return largest

    return measure
