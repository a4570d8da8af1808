"""One process of several commands, one after another:
`python commands.py '[["train", "name=a"], ["eval", "checkpoint=@a"]]'`.

`@a` stands for the folder of the run called `a`. A command that fails does not stop the next; its
exit code is written to `<name>.code` beside the runs.
"""

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from mim.command import evaluate as judging  # noqa: E402
from mim.command import train as training  # noqa: E402
from mim.launch.entry import launch  # noqa: E402

PROGRAMS = {"train": training.train, "eval": judging.evaluate}
RUNS = Path(os.environ["MIM_RUNS"])


def folder(name: re.Match[str]) -> str:
    return str(next(RUNS.glob(f"{name[1]}/*"), f"{name[1]} left nothing"))


for name, program, *overrides in json.loads(sys.argv[1]):
    sys.argv = [
        f"{program}.py",
        f"name={name}",
        *(re.sub(r"@(\w+)", folder, override) for override in overrides),
    ]
    try:
        launch(PROGRAMS[program], ROOT / "configs", program)
    except SystemExit as stop:
        written = RUNS / f"{name}.code.partial"
        written.write_text(str(stop.code or 0))
        written.replace(RUNS / f"{name}.code")
