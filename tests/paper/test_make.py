"""A table made by one command: in waves, on after a stop, and with what failed said. The programs
are stand-ins but for one run.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mim.__main__ import main
from mim.paper.make import make
from mim.paper.markdown import markdown
from mim.paper.progress import PaperProgress
from mim.paper.records import find_records
from mim.paper.table import Paper, read

ROOT = Path(__file__).parents[2]

TABLE = """
title: A paper
source: here
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged: {linear: eval.py evaluate=probe, fine-tuning: train.py task=finetune}
    rows:
      - {trained: good, by: train.py experiment=good, published: {linear: 60, fine-tuning: 80}}
      - {trained: bad, by: train.py experiment=bad, published: {linear: 60}}
"""

PROGRAM = """
import json, sys
from pathlib import Path
given = sys.argv[1:]
folder = Path(next(a for a in given if a.startswith("hydra.run.dir=")).partition("=")[2].strip("'"))
with (folder.parent / "begun").open("a") as log:
    print(Path(sys.argv[0]).name, *given, file=log)
if "experiment=bad" in given and not (folder.parent / "mended").exists():
    print("error: no good")
    sys.exit(1)
if (folder.parent / "stops").exists():
    sys.exit(85)
seed = int(next((a for a in given if a.startswith("seed=")), "seed=0")[5:])
said = {"program": Path(sys.argv[0]).name, "overrides": given, "seed": seed, "commit": "abc",
    "hardware": "here"}
said |= {"status": "finished", "evaluate": "probe", "probe/top1": 0.5,
    "metrics": {"val/top1": 0.75}, "images_per_step": 8}
(folder / "results.json").write_text(json.dumps(said))
"""


class Maker:
    """Makes a paper's table of stand-in programs."""

    def __init__(self, root: Path):
        self.runs, self.programs = root / "runs", root / "programs"
        self.folder = self.runs / "tables" / "small"
        self.folder.mkdir(parents=True)
        self.programs.mkdir()
        for name in ("train.py", "eval.py"):
            (self.programs / name).write_text(PROGRAM)
        (root / "small.yaml").write_text(TABLE)
        self.paper: Paper = read(root / "small.yaml")

    def program(self, name: str) -> list[str]:
        return [sys.executable, str(self.programs / name)]

    def progress(self, *seeds: int) -> PaperProgress:
        return PaperProgress(self.paper, find_records(self.runs), seeds or (0,))

    def __call__(self, *seeds: int):
        return make(lambda: self.progress(*seeds), self.folder, self.program, 2, [], 1)

    def begun(self) -> list[str]:
        """Commands that were begun since the last time, without where they ran."""
        log = self.folder / "begun"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [
            " ".join(word for word in line.split() if not word.startswith("hydra."))
            for line in lines
        ]


@pytest.fixture
def maker(tmp_path) -> Maker:
    return Maker(tmp_path)


def test_training_comes_before_what_judges_it_and_a_failed_job_leaves_the_others_alone(
    maker, capsys
):
    outcome = maker()
    begun = maker.begun()
    assert sorted(begun[:2]) == [
        "train.py experiment=bad resume=auto",
        "train.py experiment=good resume=auto",
    ]
    (trained,) = maker.folder.glob("good_????????")
    assert sorted(begun[2:]) == [
        f"eval.py evaluate=probe checkpoint={trained}",
        f"train.py task=finetune checkpoint={trained} resume=auto",
    ]
    assert outcome == (["bad", "bad, linear"], [])
    said = capsys.readouterr().out
    assert "failed: bad: no good; see " in said
    assert "not run: bad, linear, because the training that it judges failed" in said
    text = markdown(maker.progress().filled())
    assert "| good | linear | 60.0 | 50.0 | -10.0 |" in text
    assert "| good | fine-tuning | 80.0 | 75.0 | -5.0 |" in text
    assert "| bad | linear | 60.0 | not measured |  |" in text


def test_the_same_command_again_does_what_is_missing(maker):
    maker()
    maker.begun()
    (maker.folder / "mended").touch()
    assert maker() == ([], [])
    (trained,) = maker.folder.glob("bad_????????")
    assert maker.begun() == [
        "train.py experiment=bad resume=auto",
        f"eval.py evaluate=probe checkpoint={trained}",
    ]
    assert maker() == ([], [])
    assert maker.begun() == []


def test_what_only_stopped_is_no_failure_and_what_judges_it_waits(maker, capsys):
    (maker.folder / "mended").touch()
    (maker.folder / "stops").touch()
    assert maker() == ([], ["good", "bad", "good, linear", "good, fine-tuning", "bad, linear"])
    said = capsys.readouterr().out
    assert "interrupted: good" in said
    assert "not run: good, linear, because the training that it judges is missing" in said


def test_a_path_with_a_blank_reaches_the_judge_whole(tmp_path):
    (tmp_path / "my runs").mkdir()
    maker = Maker(tmp_path / "my runs")
    (maker.folder / "mended").touch()
    assert maker() == ([], [])
    made = maker.progress().filled().tables[0].rows[0].measured["linear"]
    assert made.value == 50.0
    (trained,) = maker.folder.glob("good_????????")
    assert f"checkpoint='{trained}'" in (maker.folder / "begun").read_text()


def test_each_seed_has_runs_of_its_own(maker):
    (maker.folder / "mended").touch()
    assert maker(0, 1) == ([], [])
    assert len(maker.begun()) == 10
    measured = maker.progress(0, 1).filled().tables[0].rows[0].measured["linear"]
    assert (measured.value, measured.seed) == (50.0, [0, 1])


SMALL = """
title: A paper
source: here
tables:
  - name: Table 1
    about: Top-1 in per cent.
    judged: {linear: eval.py evaluate=probe_mae data=imagenet}
    bench:
      about: Digits.
      training: [encoder=vit_pico, data=digits, epochs=60, warmup_epochs=1, trainer=cpu,
      trainer.devices=1,
                 trainer.accumulate_grad_batches=1, images_per_step=16,
                 trainer.limit_train_batches=4,
                 callback.online_probe=null, callback.reconstructions=null,
                 callback.checkpoint.last_every_n_steps=5]
      judged: {k-NN: eval.py evaluate=knn accelerator=cpu bank_limit=100 held_out_limit=50}
    rows:
      - trained: random
        by: train.py experiment=amt/imagenet_mae_random
        published: {linear: 60.0}
      - trained: too much
        by: train.py experiment=amt/imagenet_mae_amt
        published: {linear: 60.0}
        bench: [masker.then.partition.mask_ratio=0.9]
"""


@pytest.mark.slow
def test_a_table_goes_on_after_all_of_it_was_killed(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    command = [
        sys.executable,
        "-m",
        "mim",
        "tables",
        str(tmp_path / "small.yaml"),
        "--scale",
        "bench",
        "--run",
    ]
    environment = os.environ | {
        "MIM_RUNS": str(tmp_path / "runs"),
        "MIM_CACHE": str(tmp_path / "cache"),
    }
    first = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(
            lambda: any(
                "epoch 12/60" in log.read_text()
                for log in tmp_path.glob("runs/tables/*/*/output.log")
            ),
            first,
        )
    finally:
        killed = descendants(first.pid)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        first.wait()
        while any(is_alive(pid) for pid in killed):  # what is killed holds its locks until it ends
            time.sleep(0.05)
    (folder,) = tmp_path.glob("runs/tables/small_bench/random_*")
    assert not (folder / "results.json").exists()

    again = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 1, again.stderr  # the other row asks for too much
    assert "random, k-NN  finished" in again.stdout
    assert "failed: too much: ThrowMiddle got mask_ratio=0.9" in again.stdout
    trained = json.loads((folder / "results.json").read_text())
    assert (trained["status"], trained["epochs"]) == ("finished", 60)
    assert trained["experiment"] == "amt/imagenet_mae_random"
    log = (folder / "output.log").read_text()  # of both attempts
    assert (log.count("epoch 6/60"), log.count("epoch 60/60")) == (1, 1)
    (judged,) = tmp_path.glob("runs/tables/small_bench/random_k_nn_*/results.json")
    top1 = 100 * json.loads(judged.read_text())["knn/top1"]
    assert f"| random | k-NN | {top1:.1f} (" in again.stdout
    assert (
        "### Table 1, at bench scale\n\nDigits. Not comparable with published numbers."
        in again.stdout
    )


def until(happened, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in descendants(int(child)))]


def is_alive(pid: int) -> bool:
    """Whether a process is there, and is more than an ended one that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run"], "--run makes the tables of the papers that are named"),
        (["beyond_cls", "--scale", "bench"], "at bench scale; add `bench:` to one of its yaml"),
        (
            ["amt", "--runs", "nowhere"],
            "there is no folder nowhere; give the one that holds the runs",
        ),
        (["amt", "--run", "--parallel", "0"], "--parallel=0; needs 1 at least"),
        (["no.yaml"], "no.yaml"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, message, capsys):
    assert main(["tables", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_runs_fill_a_table_and_the_missing_commands_follow(maker, capsys):
    (maker.folder / "mended").touch()
    maker()
    (finetuned,) = maker.folder.glob("good_fine_tuning_*/results.json")
    finetuned.unlink()
    capsys.readouterr()
    yaml = maker.runs.parent / "small.yaml"
    assert main(["tables", str(yaml), "--runs", str(maker.runs)]) == 0
    out = capsys.readouterr().out
    (trained,) = maker.folder.glob("good_????????")
    assert "| good | linear | 60.0 | 50.0 | -10.0 |" in out
    assert out.endswith(
        "### Still to be run, in this order\n\n    python train.py task=finetune "
        f"checkpoint={trained}\n"
    )
