"""`python -m tests.faults --times 50`: every fault that many times, each at another moment; prints a Markdown table."""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mim.sweep.table import markdown
from tests.faults.faults import FAULTS
from tests.faults.ranks import RANK_FAULTS
from tests.faults.trial import trial, undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each fault happens")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--logs", type=Path, help="a folder for all that the trials said in which something was wrong")
    given = parser.parse_args()
    trials = {
        name: lambda at, room, fault=fault: trial(fault, at, room) for name, fault in FAULTS.items()
    } | RANK_FAULTS
    rows, wrong = [], []
    for name in (name for name in trials if given.only in name):
        if name in FAULTS:
            undisturbed(FAULTS[name].settings)  # not part of the first trial's time
        moments, codes, good, begun = random.Random(f"{given.seed} {name}"), Counter[str](), 0, time.monotonic()
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
    print(markdown(["fault", "times", "exit codes", "went on as if undisturbed", "seconds each"], rows))
    print("\n".join(wrong))
    return 1 if wrong else 0


def _keep(room: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for log in room.glob("*.log"):
        shutil.copy(log, folder)


if __name__ == "__main__":
    sys.exit(main())
