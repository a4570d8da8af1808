"""What a checkpoint's features are worth: every pool under every judge, beside the untrained
encoder, as one Markdown table.

    python benchmarks/pools.py runs/<name>/<date_time> --out docs/pools.md
    python benchmarks/pools.py <checkpoint> --bank 2000 --held-out 1000 --epochs 2  # a first look

It runs eval.py, and train.py for the fine-tuning, and reads their results.json; the commands stand
below the table. What has been run once is not run again: --folder keeps it, and eval.py keeps
features.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate

from mim.evaluate.metrics import wilson
from mim.launch.provenance import commit
from mim.sweep.table import markdown
from mim.weights.build import build_encoder
from mim.weights.read import read_weights

ROOT = Path(__file__).parents[1]
CENTRE = [f"{kind}{side}" for kind in ("cp", "ca") for side in (1, 2, 3, 4)]
FREE = ["cls", "mean", "cls_mean", "max", "mean_attention", "lowest_entropy", *CENTRE]
LEARNED = ["abmilp", "attentive"]
SLOW = ["simpool"]  # a power of every number of every token for every head takes its time
RATES = "evaluate.lr=[1e-2,3e-2,1e-1,3e-1]"
RATES_OF_LEARNED = "evaluate.lr=[3e-3,1e-2,3e-2,1e-1]"  # wide enough for the best to lie inside
SHOTS = [1, 2, 5, 10]
Key = tuple[str, str]
"""Encoder and pool."""


class Study:
    """Commands, and what came out of them.

    Args:
        folder: where each command leaves its results, under a name.
        at_once: so many commands.
    """

    def __init__(self, folder: Path, at_once: int = 1):
        self.folder, self.at_once = folder, at_once
        self.commands: dict[str, list[str]] = {}

    def add(self, name: str, script: str, *overrides: str) -> None:
        """A command, under a name of its own."""
        self.commands[name] = [script, *overrides]

    def run(self) -> dict[str, dict[str, Any]]:
        """By name, what each command left in results.json; those that left one before are not run
        again.
        """
        with ThreadPoolExecutor(self.at_once) as pool:
            return dict(zip(self.commands, pool.map(self._results, self.commands), strict=True))

    def _results(self, name: str) -> dict[str, Any]:
        run = self.folder / name
        if not (run / "results.json").exists():
            print(f"{name}: python {' '.join(self.commands[name])}", flush=True)
            subprocess.run(
                [sys.executable, *self.commands[name], f"hydra.run.dir={run}"], cwd=ROOT, check=True
            )
        return json.loads((run / "results.json").read_text())


def untrained(checkpoint: str, folder: Path) -> Path:
    """The encoder of a checkpoint as it was before training, or as it could have been: with weights
    drawn from seed 0.
    """
    weights = read_weights(checkpoint)
    torch.manual_seed(0)
    encoder = build_encoder(weights)
    tensors = {f"model.encoder.{name}": value for name, value in encoder.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": tensors, "config": weights.config}, folder / "untrained.ckpt")
    return folder / "untrained.ckpt"


def cell(top1: float, interval: list[float], spread: float | None = None) -> str:
    """Per cent, its standard deviation over seeds, and its 95 % interval."""
    over_seeds = "" if spread is None else f" ± {100 * spread:.1f}"
    return f"{100 * top1:.1f}{over_seeds} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def best_of(tables: list[list[dict[str, Any]]]) -> dict[Key, tuple[list[float], str]]:
    """By encoder and pool, the top-1 over seeds of the setting that is best on average, and which
    one that is.
    """
    found: dict[Key, dict[str, list[float]]] = {}
    for row in (row for table in tables for row in table):
        found.setdefault((row["checkpoint"], row["pool"]), {}).setdefault(
            row["setting"], []
        ).append(row["top1"])
    best = {
        key: max(settings, key=lambda s: statistics.mean(settings[s]))
        for key, settings in found.items()
    }
    return {key: (found[key][setting], setting) for key, setting in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint")
    parser.add_argument(
        "--out", type=Path, help="Markdown file; without, the table is printed only"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(os.environ.get("MIM_RUNS", "runs")) / "study"
    )
    parser.add_argument("--note", default="", help="a sentence on how the checkpoint was trained")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10, help="of each probe")
    parser.add_argument("--learned", nargs="*", default=LEARNED, help="pools with weights")
    parser.add_argument("--bank", type=int, help="training images, all by default")
    parser.add_argument("--held-out", type=int, help="held-out images, all by default")
    parser.add_argument(
        "--finetune-batches", type=int, default=0, help="steps of a short fine-tuning; 0 for none"
    )
    parser.add_argument("--at-once", type=int, default=1, help="commands")
    args = parser.parse_args()

    folder = args.folder.resolve()
    random = untrained(args.checkpoint, folder)
    study = Study(folder, args.at_once)
    limits = (f"bank_limit={args.bank or 'null'}", f"held_out_limit={args.held_out or 'null'}")
    both = (f"checkpoint=[{args.checkpoint},{random}]", *limits)
    free, learned, slow = (f"pool=[{','.join(pools)}]" for pools in (FREE, args.learned, SLOW))
    epochs = f"evaluate.epochs={args.epochs}"
    for seed in args.seeds:
        study.add(
            f"probe_{seed}", "eval.py", *both, "evaluate=probe", free, RATES, epochs, f"seed={seed}"
        )
        if args.learned:
            study.add(
                f"learned_{seed}",
                "eval.py",
                *both,
                "evaluate=probe",
                learned,
                RATES_OF_LEARNED,
                epochs,
                f"seed={seed}",
            )
    study.add(
        "slow", "eval.py", *both, "evaluate=probe", slow, "evaluate.lr=1e-2", epochs, "seed=0"
    )
    study.add("knn", "eval.py", *both, "evaluate=knn", free, "evaluate.judge.k=[10,20,50]")
    study.add(
        "logistic", "eval.py", *both, "evaluate=logistic", "pool=[cls,mean]", "evaluate.judge.C=0.1"
    )
    study.add(
        "low_shot", "eval.py", *both, "evaluate=low_shot", "pool=[cls,mean,mean_attention,max]"
    )
    if args.finetune_batches:
        study.add("finetune_trained", *finetuning(args.checkpoint, args.finetune_batches))
        study.add("finetune_untrained", *finetuning(str(random), args.finetune_batches))
    found = study.run()
    probes = [found[name] for name in found if name.startswith(("probe_", "learned_", "slow"))]

    images = sum(held["images"] for held in found["knn"]["table"][0]["classes"].values())
    columns: list[dict[Key, str]] = [{} for _ in range(4 + len(SHOTS))]
    probed = best_of([probe["table"] for probe in probes])
    for key, (values, setting) in probed.items():
        mean = statistics.mean(values)
        deviation = statistics.stdev(values) if len(values) > 1 else None
        columns[0][key] = f"{cell(mean, wilson(mean, images), deviation)}, {setting.split()[0]}"
    for column, judged in ((columns[1], found["knn"]), (columns[2], found["logistic"])):
        for key, ((value,), setting) in best_of([judged["table"]]).items():
            column[key] = f"{cell(value, wilson(value, images))}, {setting.split()[0]}"
    for row in found["low_shot"]["table"]:
        columns[3 + SHOTS.index(row["shots"])][row["checkpoint"], row["pool"]] = cell(
            row["top1"], row["top1_interval"]
        )

    if args.finetune_batches:
        judged_on = held_out(args.checkpoint)
        for name, source in (
            ("finetune_trained", args.checkpoint),
            ("finetune_untrained", str(random)),
        ):
            value = found[name]["metrics"]["val/top1"]
            columns[-1][source, "mean"] = cell(value, wilson(value, judged_on))

    header = [
        "encoder",
        "pool",
        "probe",
        "k-NN",
        "logistic",
        *(f"{n} a class" for n in SHOTS),
        "fine-tuned",
    ]
    rows = [
        [name, pool, *(column.get((source, pool), "") for column in columns)]
        for name, source in (("trained", args.checkpoint), ("untrained", str(random)))
        for pool in [*FREE, *args.learned, *SLOW]
    ]
    text = page(args, list(study.commands.values()), markdown(header, rows), probed, images)
    text = text.replace(str(random), "untrained.ckpt").replace(args.checkpoint, "<checkpoint>")
    text = text.replace(
        str((read_weights(args.checkpoint).config or {})["data"].get("root")), "<data>"
    )
    print(text)
    if args.out:
        args.out.write_text(text)


def finetuning(source: str, steps: int) -> list[str]:
    """The command of a short fine-tuning, by the mean of patches, in the precision of the run."""
    config = read_weights(source).config or {}
    data = [
        f"data.{name}={config['data'][name]}"
        for name in ("root", "image_size", "in_memory", "batch_size")
    ]
    encoder = [
        f"encoder.{name}={config['encoder'][name]}"
        for name in ("patch_size", "width", "depth", "heads")
    ]
    short = [
        "epochs=1",
        "warmup_epochs=0.2",
        "base_lr=2e-3",
        "task.mix=null",
        f"trainer.limit_train_batches={steps}",
    ]
    precision = f"trainer.precision={config['trainer']['precision']}"
    return [
        "train.py",
        "task=finetune",
        f"checkpoint={source}",
        "data=image_folder",
        *data,
        *encoder,
        *short,
        precision,
    ]


def held_out(source: str) -> int:
    """How many images a fine-tuning is judged on: all that the data set of the run holds out."""
    config = read_weights(source).config or {}
    data = instantiate(config["data"] | {"in_memory": False})
    data.setup()
    return len(data.val_dataloader().dataset)


def page(
    args: argparse.Namespace,
    commands: list[list[str]],
    table: str,
    probes: dict[Key, Any],
    images: int,
) -> str:
    """The table, what it answers, and how it was made."""
    trained = {
        pool: statistics.mean(values)
        for (source, pool), (values, _) in probes.items()
        if source == args.checkpoint
    }
    ranking = sorted(trained, key=lambda pool: -trained[pool])
    answer = ""
    if "abmilp" in trained:
        gap = 100 * (trained["abmilp"] - trained["cls"])
        half = (
            100
            * 1.96
            * sum(trained[p] * (1 - trained[p]) / images for p in ("abmilp", "cls")) ** 0.5
        )
        beats = "yes" if gap > half else "no: it is worse" if gap < -half else "not beyond chance"
        answer = (
            f"**Does AbMILP beat cls?** {beats[0].upper()}{beats[1:]}. Under the probe the "
            f"difference is {gap:+.1f} points. Two "
            f"pools of the same accuracy would differ by up to {half:.1f} points in 95 of 100 such "
            f"draws of {images:,} images, "
            "if the draws were independent.\n\n"
        )
    order = ", ".join(f"{pool} {100 * trained[pool]:.1f}" for pool in ranking)
    return f"""# Which pool, which judge: a study on one checkpoint

{args.note}

{answer}From best to worst under the probe: {order}.

The table shows top-1 accuracy in per cent on {images:,} held-out images, with its 95 % interval in
brackets. The interval is Wilson's for probe, k-NN, logistic regression and fine-tuning, and
Student's t over five draws for few images a class. After a probe's ± is the standard deviation over
the seeds that the commands below name; a seed decides initial weights and order. Without a ± there
was one seed. Of several settings the table shows the one that is best on the held-out images, as
papers do, and names it.
Pools with weights can only be tested by a probe. The untrained encoder has random weights (seed 0).

{table}
## How it was made

Commit {commit()}, torch {torch.__version__}, {platform.machine()} CPU, {os.cpu_count()} cores.

```
{chr(10).join("python " + " ".join(command) for command in commands)}
```
"""


if __name__ == "__main__":
    main()
