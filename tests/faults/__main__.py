"""`python -m tests.faults --times 50`: every fault that many times, each at another moment; prints a Markdown table.

`python -m tests.faults --chains 50`: that many chains of one to four faults in each of many settings, drawn at random.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from mim.sweep.table import markdown
from tests.faults.chains import SETTINGS, chain, drawn
from tests.faults.faults import FAULTS
from tests.faults.ranks import RANK_FAULTS
from tests.faults.trial import trial, undisturbed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each fault happens")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--logs", type=Path, help="a folder for all that the trials said in which something was wrong")
    parser.add_argument("--chains", type=int, help="chains of faults in each setting")
    given = parser.parse_args()
    if given.chains:
        return chains(given.chains, given.only, given.seed, given.logs)
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


def chains(count: int, only: str, seed: int, logs: Path | None) -> int:
    """Draw chains, the first of each setting first."""
    struck, good, tried, wrong = Counter[str](), Counter[str](), Counter[str](), []
    for number in range(count):
        for settings in (settings for settings in SETTINGS if only in settings):
            blows = drawn(random.Random(f"{seed} {number} {settings}"), settings)
            with tempfile.TemporaryDirectory() as room:
                outcome = chain(settings, blows, Path(room))
                if outcome.wrong and logs:
                    _keep(Path(room), logs / f"{settings} {number}".replace(" ", "_"))
            tried[settings] += 1
            struck[settings] += outcome.struck
            good[settings] += not outcome.wrong
            if outcome.wrong:
                wrong.append(f"{settings} {number}, {', then '.join(map(str, blows))}: {'; '.join(outcome.wrong)}")
                print(wrong[-1], file=sys.stderr, flush=True)
            print(f"{sum(good.values())} of {sum(tried.values())}", end="\r", file=sys.stderr, flush=True)
    rows = [[name, str(tried[name]), str(struck[name]), str(good[name])] for name in tried]
    rows.append(["all", *(str(sum(counts.values())) for counts in (tried, struck, good))])
    print(markdown(["setting", "chains", "faults that struck", "as if undisturbed"], rows))
    print("\n".join(wrong))
    return 1 if wrong else 0


def _keep(room: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for log in room.glob("*.log"):
        shutil.copy(log, folder)


if __name__ == "__main__":
    sys.exit(main())
