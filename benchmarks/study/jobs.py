"""Jobs of the study: trainings that tune a rate, trainings that are compared, and probes and
fine-tunings of what they leave.
"""

import hashlib
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from plan import BASE, At, Plan, Size, compared_arms, wanted_arms
from results import can_be_judged, done, numbers

Kind = Literal["tune", "train", "probe", "finetune"]
UNTRAINED = "untrained"
"""Arm that is fine-tuned from random weights: what pre-training is worth."""
CALLBACKS = (
    "callback=[announce,throughput,interruption,refresh_attention,online_probe,checkpoint,results]"
)
CALLBACKS_OF_FINETUNING = "callback=[announce,throughput,interruption,checkpoint,results]"


class Job(NamedTuple):
    """Job: a command, and the folder that it leaves results in.

    Attributes:
        arm: whose.
        kind: of job.
        at: what is alike.
        seed: of weights, order, crops and masks.
        rate: `base_lr`.
        folder: of its results.
        program: train or eval.
        overrides: what the command line says.
        after: folder of the training that it judges; null where it judges none.
    """

    arm: str
    kind: Kind
    at: At
    seed: int
    rate: float
    folder: Path
    program: str
    overrides: list[str]
    after: Path | None = None

    @property
    def label(self) -> str:
        """What tells it from others."""
        return f"{self.kind} {self.arm}, equal {self.at}, rate {self.rate:g}, seed {self.seed}"


class Study:
    """Study of a size in a folder.

    Args:
        plan: what is compared.
        folder: of its jobs.
        data: with train/, tune/ and test/ (subset.py).
        flops: operations of an image by arm, those of a step divided by its images.
    """

    def __init__(self, plan: Plan, folder: Path, data: Path, flops: dict[str, float]):
        self.plan, self.folder, self.data, self.flops = plan, folder, data, flops

    def epochs(self, arm: str, at: At) -> int:
        """Epochs of an arm: the size's, or as many as cost what MAE's cost, rounded, at least 1."""
        epochs = self.plan.size.epochs
        return (
            epochs if at == "epochs" else max(1, round(epochs * self.flops[BASE] / self.flops[arm]))
        )

    def has_compute(self, arm: str) -> bool:
        """Whether equal compute is other epochs; else the same trainings stand for both."""
        return self.epochs(arm, "compute") != self.plan.size.epochs

    def is_other(self, arm: str, at: At) -> bool:
        """Whether an arm has trainings of its own there, and not those of the first way."""
        return at == self.plan.size.at[0] or self.has_compute(arm)

    def ways(self, arms: Sequence[str]) -> list[At]:
        """What arms are compared at: the first way, and the second where it is other epochs for
        one.
        """
        return [at for at in self.plan.size.at if any(self.is_other(arm, at) for arm in arms)]

    def training(self, arm: str, kind: Kind, at: At, seed: int, rate: float) -> Job:
        """Training of an arm."""
        epochs = self.epochs(arm, at)
        overrides = settings_of_arm(self.plan, arm, epochs, self.data)
        overrides += [
            f"data.val={'tune' if kind == 'tune' else 'test'}",
            f"base_lr={rate:g}",
            f"seed={seed}",
        ]
        folder = self.folder / f"{arm}_{hashed(overrides)}"
        return Job(arm, kind, at, seed, rate, folder, "train", overrides)

    def tuning(self, arm: str) -> list[Job]:
        """Trainings on seeds of their own, one for each rate and seed, judged on training images
        that no other training sees.
        """
        size = self.plan.size
        return [
            self.training(arm, "tune", "epochs", seed, rate)
            for rate in size.rates
            for seed in size.tuning_seeds
        ]

    def tried(self, arm: str) -> dict[float, float]:
        """k-NN by rate, on average over the tuning seeds; rates that have all of them."""
        found: dict[float, list[float | None]] = {}
        for job in self.tuning(arm):
            found.setdefault(job.rate, []).append(numbers(job.folder).get("knn/top1"))
        return {
            rate: statistics.mean(values) for rate, values in found.items() if None not in values
        }

    def rate(self, arm: str) -> float | None:
        """Rate that k-NN finds best on average over the tuning seeds, the lower of equals; null
        while it is not known.
        """
        tried = self.tried(arm)
        if len(tried) < len(self.plan.size.rates):
            return None
        return max(tried, key=lambda rate: (tried[rate], -rate))

    def compared(self, arm: str, at: At) -> list[Job]:
        """Trainings that claims are about; none while the rate is not known."""
        rate = self.rate(arm)
        at = at if at == "epochs" or self.has_compute(arm) else "epochs"
        if rate is None:
            return []
        return [self.training(arm, "train", at, seed, rate) for seed in self.plan.size.seeds]

    def probes(self, arm: str) -> list[Job]:
        """Probes of pools on each training of an arm."""
        pools = ",".join(self.plan.pools)
        jobs = []
        for training in self.compared(arm, "epochs"):
            run = training.folder
            overrides = [
                f"checkpoint={run}",
                f"+data.root={self.data}",  # a folder out of a file is not opened unasked
                "evaluate=probe",
                f"pool=[{pools}]",
                f"seed={training.seed}",
            ]
            overrides += ["evaluate.lr=[3e-3,1e-2,3e-2,1e-1]", "evaluate.epochs=20"]
            folder = self.folder / f"probe_{arm}_{hashed([*overrides, *training.overrides])}"
            jobs.append(
                training._replace(
                    kind="probe", folder=folder, program="eval", overrides=overrides, after=run
                )
            )
        return jobs

    def finetunings(self, arm: str, at: At) -> list[Job]:
        """Fine-tunings of each training of an arm, or of random weights; none where the size leaves
        these trainings out.
        """
        if arm == UNTRAINED:
            return [self.finetuning(arm, at, seed, None) for seed in self.plan.size.seeds]
        if at not in self.plan.size.finetune.at:
            return []
        return [self.finetuning(arm, at, job.seed, job) for job in self.compared(arm, at)]

    def finetuning(self, arm: str, at: At, seed: int, training: Job | None) -> Job:
        """Fine-tuning on the training images, judged on the test images after the last epoch."""
        chosen = self.plan.size.finetune
        overrides = ["task=finetune", *pictures(self.data), "data.val=test", *self.plan.size.common]
        overrides += [f"epochs={chosen.epochs}", f"warmup_epochs={chosen.warmup_epochs}"]
        overrides += ["task.mix=null", "task.erase=null", f"base_lr={chosen.rate:g}"]
        overrides += [f"seed={seed}", CALLBACKS_OF_FINETUNING, "logger=[csv]"]
        overrides += ["trainer.accelerator=cpu"]
        judged = [] if training is None else training.overrides
        folder = self.folder / f"finetune_{arm}_{hashed([*overrides, *judged])}"
        run = None if training is None else training.folder
        overrides += [f"checkpoint={run or 'null'}"]
        return Job(arm, "finetune", at, seed, chosen.rate, folder, "train", overrides, run)

    def jobs(self) -> Iterator[Job]:
        """All jobs that are known by now, the most telling claims first."""
        probed = {claim.arm for claim in self.plan.claims if claim.arm}
        if set(self.plan.judges) & set(self.plan.pools):
            probed |= set(compared_arms(self.plan))
        first, *others = self.plan.size.at
        for arm in wanted_arms(self.plan):
            yield from self.tuning(arm)
            yield from self.compared(arm, first)
        for arm in wanted_arms(self.plan):
            if arm in probed:
                yield from self.probes(arm)
            for at in others:
                if self.is_other(arm, at):
                    yield from self.compared(arm, at)
        yield from self.finetunings(UNTRAINED, first)
        for at in self.plan.size.finetune.at:
            for arm in compared_arms(self.plan):
                if self.is_other(arm, at):
                    yield from self.finetunings(arm, at)

    def missing(self) -> list[Job]:
        """Jobs that can be run and have not ended, in order."""
        return [
            job
            for job in self.jobs()
            if not done(job.folder) and (job.after is None or can_be_judged(job.after))
        ]


def settings_of_arm(plan: Plan, arm: str, epochs: int, data: Path) -> list[str]:
    """Command line of an arm, but for the rate, the seed and what it is judged on."""
    size, chosen = plan.size, plan.arms[arm]
    overrides = [
        *pictures(data),
        *size.common,
        *chosen.settings,
        f"epochs={epochs}",
        CALLBACKS,
        "logger=[csv]",
    ]
    overrides += [f"watch_every_n_epochs={epochs}", "trainer.accelerator=cpu"]
    if chosen.looks is not None:
        first = first_look(chosen.looks, epochs)
        overrides += [
            f"masker.at_epoch={first}",
            f"callback.refresh_attention.every_n_epochs={first}",
        ]
    return overrides


def pictures(data: Path) -> list[str]:
    """Command line of the pictures, kept in memory."""
    return [
        "data=image_folder",
        f"data.root={data}",
        "data.image_size=32",
        "data.in_memory=true",
        "data.num_workers=0",
    ]


def first_look(share: float, epochs: int) -> int:
    """Epoch at which attention decides for the first time."""
    return max(1, round(share * epochs))


def count_images(size: Size, classes: int = 10) -> int:
    """Images that are trained on."""
    return size.images * classes


def hashed(overrides: list[str]) -> str:
    """Short name of a command line, whatever folder the data are in."""
    places = ("data.root=", "+data.root=", "checkpoint=")
    kept = [text for text in overrides if not text.startswith(places)]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:10]
