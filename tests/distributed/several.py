"""One process of several runs, one after another:
`python several.py '[["name=a", "epochs=1"], ["resume=@a"]]'`.

`@a` stands for what the run called `a` saved after its first epoch, `<runs>` for their folder.
"""

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from mim.command import train  # noqa: E402
from mim.launch.entry import launch  # noqa: E402


def saved(name: re.Match[str]) -> str:
    (folder,) = Path(os.environ["MIM_RUNS"]).glob(f"{name[1]}/*")
    return str(folder / "checkpoints" / "epoch_0001.ckpt")


for overrides in json.loads(sys.argv[1]):
    here = [override.replace("<runs>", os.environ["MIM_RUNS"]) for override in overrides]
    sys.argv = ["train.py", *(re.sub(r"(?<==)@(\w+)", saved, override) for override in here)]
    try:
        launch(train.train, ROOT / "configs", "train")
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{overrides} ended with {stop.code}")
