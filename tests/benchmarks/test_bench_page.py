"""`make bench`: its page, its history, and the scripts that have no tests of their own, at toy
size.
"""

import runpy
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STEP = """| precision | | time over ours (quartiles) |
|---|---|--:|
| bf16 | ours | 1.00 (1.00 to 1.00) |
| bf16 | transformers 5 | 1.63 (1.60 to 1.70) |
| bf16 | lightly 1 | 1.70 (1.60 to 1.80) |
"""


@pytest.fixture
def bench(monkeypatch):
    """benchmarks/bench.py, whose scripts say what a test wants."""
    module = runpy.run_path(str(BENCHMARKS / "bench.py"), run_name="bench")

    def says(text, code=0):
        def ran(command, **_):
            return subprocess.CompletedProcess(command, code, text, "a mistake\nValueError: no")

        monkeypatch.setattr(module["run"].__globals__["subprocess"], "run", ran)

    module["says"] = says
    return module


def test_the_main_number_is_of_the_peers(bench):
    numbers = bench["numbers"]
    assert numbers(STEP, "time over ours (quartiles)", "transformers|lightly") == [1.63, 1.70]
    assert numbers(STEP, "no such column", "ours") == []
    assert numbers("| a |\n|---|\n| 1,234.5% |\n", "a", "%") == [1234.5]


def test_a_page_has_all_parts_and_a_failure_stops_none(bench, tmp_path, capsys):
    page, history = tmp_path / "page.md", tmp_path / "history.md"
    bench["says"](STEP)
    assert bench["main"](["--out", str(page), "--parts", "step", "judge"]) == 0
    assert page.read_text().count("\n## ") == 2
    assert "transformers 5 | 1.63" in page.read_text()
    assert "load" in page.read_text()
    assert "step: 1.63 to 1.7" in capsys.readouterr().out
    bench["says"]("", 1)
    assert bench["main"](["--out", str(page), "--parts", "step", "judge"]) == 1
    assert page.read_text().count("Failed: ValueError: no") == 2
    ran = bench["run"](bench["PARTS"][0], "step.py", tmp_path, 1.0)
    for day in ("2026-11-26", "2026-11-27"):
        bench["remember"]([ran], day, history)
    lines = history.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines[-2:]] == ["| 2026-11-26", "| 2026-11-27"]
    assert sum(line.startswith("| when") for line in lines) == 1
    assert "| failed |" in lines[-1]
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1, "each row has all columns"


def test_parts_have_fewer_rounds_and_a_share_of_the_minutes(bench, tmp_path, monkeypatch, capsys):
    limits = []

    def ran(command, timeout, **_):
        limits.append(timeout)
        assert command[command.index("--rounds") + 1] == "3"
        return subprocess.CompletedProcess(command, 0, STEP, "")

    clock = iter([0.0, 0.0, 0.0, 60.0, 60.0, 60.0, 120.0, 120.0])
    seen = bench["run"].__globals__
    monkeypatch.setitem(seen, "subprocess", SimpleNamespace(run=ran))
    monkeypatch.setitem(seen, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    page = tmp_path / "page.md"
    parts = ["--parts", "step", "simmim", "finetune"]
    assert bench["main"](["--out", str(page), "--minutes", "2", *parts]) == 0
    assert limits == [80.0, 60.0], "at most twice an even share, and what is left"
    assert "finetune: not run" in capsys.readouterr().out
    assert page.read_text().count("Not run: the time was over.") == 1
    assert "finetune.py --encoder vit_small --batch 8 --precision bf16 32 --rounds 3" in (
        page.read_text()
    )


def test_history_keeps_lines_of_other_parts(bench, tmp_path, monkeypatch):
    file = tmp_path / "history.md"
    file.write_text("# old\n\n| when | judge | gone |\n|---|--:|--:|\n| 2025-01-01 | 3.5 | 7 |\n")
    bench["says"](STEP)
    ran = bench["run"](bench["PARTS"][0], "step.py", tmp_path, 1.0)
    monkeypatch.setitem(bench["remember"].__globals__, "commit", lambda: "abcdef")
    bench["remember"]([ran], "2026-11-27", file)
    header, _, old, new = (
        bench["cells"](line) for line in file.read_text().splitlines() if line.startswith("|")
    )
    assert "gone" not in header
    assert old[header.index("judge")] == "3.5"
    assert new[header.index("step")] == "1.63 to 1.7"


def test_a_page_of_the_same_day_is_kept(bench, tmp_path):
    file = tmp_path / "page.md"
    assert bench["unused"](file) == file
    file.touch()
    (tmp_path / "page_2.md").touch()
    assert bench["unused"](file) == tmp_path / "page_3.md"


def test_every_part_names_a_script_that_is_there(bench):
    assert len({part.name for part in bench["PARTS"]}) == len(bench["PARTS"])
    for part in bench["PARTS"]:
        for command in (part.command, part.quick):
            assert (BENCHMARKS / command.split()[0]).is_file()


def test_fine_tuning_and_timms_way_have_as_many_parameters(capsys):
    script = runpy.run_path(str(BENCHMARKS / "finetune.py"), run_name="finetune")
    toy = [
        "--encoder",
        "vit_pico",
        "--image",
        "16",
        "--patch",
        "8",
        "--batch",
        "2",
        "--rounds",
        "1",
    ]
    script["main"]([*toy, "--precision", "32"])
    ours, timm = (line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[-2:])
    assert ours[2] == timm[2], "parameters"
    assert float(ours[3]) == pytest.approx(float(timm[3]), rel=0.2), "first loss"
    assert float(ours[5].split()[0]) == 1.0


def test_neighbours_are_those_of_scikit_learn(capsys):
    script = runpy.run_path(str(BENCHMARKS / "judge.py"), run_name="judge")
    script["main"](["--images", "200", "--held-out", "50", "--width", "16", "--rounds", "1"])
    table, _, work = capsys.readouterr().out.strip().rpartition("\n\n")
    assert "AdamW takes 50 steps in 50 passes" in work
    rows = [line.split("|")[1:-1] for line in table.splitlines()[-4:]]
    (ours, theirs, linear, regression) = rows
    assert ours[3] == theirs[3], "top-1"
    assert abs(float(linear[3]) - float(regression[3])) < 15


def test_costs_are_of_the_measured_step_and_of_waiting_for_the_network(capsys):
    script = runpy.run_path(str(BENCHMARKS / "costs.py"), run_name="costs")
    cost = script["Cost"]("a", 800, 4096, 57.3e9, 112_000_000)
    rate = 5935 * 57.3e9
    assert cost.hours(1, rate, 50e9) == pytest.approx(800 * 1_281_167 / 5935 / 3600)
    assert cost.hours(8, rate, 50e9) == pytest.approx(cost.hours(1, rate, 50e9) / 8), (
        "within a node nothing waits"
    )
    slow = cost.hours(64, rate, 1e9)
    computing, sending = 64 * 57.3e9 / rate, 2 * 4 * 112e6 * 7 / 8 / 8 / 1e9
    steps = 800 * 1_281_167 / 4096
    assert slow == pytest.approx(steps * (computing + sending - computing * 2 / 3) / 3600)
    script["main"](["--experiments", "amt/imagenet_mae_amt", "--price", "2"])
    table = capsys.readouterr().out
    mae, amt = (
        line.split("|")[1:-1] for line in table.splitlines() if line.startswith(("| mae", "| amt"))
    )
    assert "**measured**" in mae[3]
    assert "counted" in amt[3]
    assert float(mae[2]) == pytest.approx(57.3, abs=0.4)
    assert float(amt[2]) < 0.75 * float(mae[2]), "what is thrown costs nothing"
    assert " h, $" in mae[4]
    assert "$96" in mae[4]


@pytest.mark.slow
def test_maskers_are_timed_and_their_share_is_said(bench, monkeypatch, capsys):
    """The quick command of the part, in this process."""
    (part,) = [part for part in bench["PARTS"] if part.name == "maskers"]
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", part.quick.split())
    runpy.run_path(str(BENCHMARKS / "maskers.py"), run_name="__main__")
    shares = bench["numbers"](capsys.readouterr().out, part.column, part.rows)
    assert len(shares) == 1
    assert shares[0] > 0


@pytest.mark.slow
def test_seconds_until_the_first_step_are_counted_wherever_runs_are_left(bench, monkeypatch):
    monkeypatch.delenv("MIM_RUNS", raising=False)
    (part,) = [part for part in bench["PARTS"] if part.name == "start"]
    ran = bench["run"](part, part.quick, Path("unused"), 300.0)
    (seconds,) = bench["numbers"](ran.text, part.column, part.rows)
    assert seconds > 1
