"""`python -m tests.faults --times 50`: every fault that many times, each at another moment; prints
a Markdown table.

`python -m tests.faults --chains 50`: that many chains of one to four faults in each of many
settings, drawn at random. With `--kept FILE` each outcome is a line there, and those that are there
are not tried again.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mim.sweep.table import markdown
from tests.faults import warm
from tests.faults.chains import SETTINGS, chain, drawn
from tests.faults.faults import FAULTS
from tests.faults.ranks import RANK_FAULTS
from tests.faults.trial import trial, undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each fault happens")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--logs",
        type=Path,
        help="a folder for all that the trials said in which something was wrong",
    )
    parser.add_argument("--chains", type=int, help="chains of faults in each setting")
    parser.add_argument(
        "--kept", type=Path, help="a file for the outcomes of chains, to go on from"
    )
    given = parser.parse_args()
    if given.chains:
        return chains(given.chains, given.only, given.seed, given.logs, given.kept)
    trials = {
        name: lambda at, room, fault=fault: trial(fault, at, room) for name, fault in FAULTS.items()
    } | RANK_FAULTS
    rows, wrong = [], []
    for name in (name for name in trials if given.only in name):
        if name in FAULTS:
            undisturbed(FAULTS[name].settings)  # not part of the first trial's time
        moments, codes, good, begun = (
            random.Random(f"{given.seed} {name}"),
            Counter[str](),
            0,
            time.monotonic(),
        )
        for number in range(given.times):
            print(f"{name}: {good} of {number}", end="\r", file=sys.stderr, flush=True)
            at = moments.random()
            with tempfile.TemporaryDirectory() as room:
                outcome = trials[name](at, Path(room))
                if outcome.wrong and given.logs:
                    _keep(Path(room), given.logs / f"{name} at {at:.3f}".replace(" ", "_"))
            codes[str(outcome.code)] += 1
            good += not outcome.wrong
            if outcome.wrong:
                wrong.append(f"{name} at {at:.3f}: {'; '.join(outcome.wrong)}")
                print(wrong[-1], file=sys.stderr, flush=True)
        ends = ", ".join(f"{code} ({count} x)" for code, count in sorted(codes.items()))
        seconds = (time.monotonic() - begun) / given.times
        rows.append([name, str(given.times), ends, str(good), f"{seconds:.1f}"])
        print(f"{name}: {good} of {given.times}", file=sys.stderr, flush=True)
    print(
        markdown(
            ["fault", "times", "exit codes", "went on as if undisturbed", "seconds each"], rows
        )
    )
    print("\n".join(wrong))
    return 1 if wrong else 0


def chains(count: int, only: str, seed: int, logs: Path | None, kept: Path | None) -> int:
    """Draw chains, the first of each setting first."""
    lines = kept.read_text().splitlines() if kept and kept.exists() else []
    outcomes = {(each["setting"], each["chain"]): each for each in map(json.loads, lines)}
    for number in range(count):
        for settings in (settings for settings in SETTINGS if only in settings):
            drawing = f"{seed} {number} {settings}"
            blows = drawn(random.Random(drawing), settings)
            if (settings, drawing) in outcomes:
                continue
            with tempfile.TemporaryDirectory() as room:
                outcome = chain(settings, blows, Path(room), warm.start)
                if outcome.wrong and logs:
                    _keep(Path(room), logs / drawing.replace(" ", "_"))
            line = {
                "setting": settings,
                "chain": drawing,
                "blows": list(map(str, blows)),
                **outcome._asdict(),
            }
            outcomes[settings, drawing] = line
            if kept:
                with kept.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            if outcome.wrong:
                print(_failure(line), file=sys.stderr, flush=True)
    return _table(list(outcomes.values()))


def _table(outcomes: list[dict[str, Any]]) -> int:
    """Of all chains, also those of an earlier time."""
    rows = []
    for name in [*SETTINGS, "all"]:
        found = [each for each in outcomes if name in (each["setting"], "all")]
        counts = (
            len(found),
            sum(each["struck"] for each in found),
            sum(not each["wrong"] for each in found),
        )
        rows += [[name, *map(str, counts)]] if found else []
    print(markdown(["setting", "chains", "faults that struck", "as if undisturbed"], rows))
    wrong = [_failure(each) for each in outcomes if each["wrong"]]
    print("\n".join(wrong))
    return 1 if wrong else 0


def _failure(outcome: dict[str, Any]) -> str:
    return f"{outcome['chain']}, {', then '.join(outcome['blows'])}: {'; '.join(outcome['wrong'])}"


def _keep(room: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for log in room.glob("*.log"):
        shutil.copy(log, folder)


if __name__ == "__main__":
    sys.exit(main())
