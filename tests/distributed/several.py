"""One process of several runs, one after another: `python several.py '[["name=a", "epochs=1"], ...]'`."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import train  # noqa: E402
from mim.launch.entry import launch  # noqa: E402

for overrides in json.loads(sys.argv[1]):
    sys.argv = ["train.py", *overrides]
    try:
        launch(train.train, ROOT / "configs", "train")
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{overrides} ended with {stop.code}")
