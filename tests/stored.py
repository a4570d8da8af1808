"""Numbers of the published implementations, from `tests/golden` or the folder that MIM_GOLDEN
names.

Another set of files with the same names, of other seeds, sizes and shapes, can be put in their
place: tests read every size from the file.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

OWN = Path(__file__).parent / "golden"
FOLDER = Path(os.environ.get("MIM_GOLDEN", OWN))
opened: set[str] = set()


def stored(name: str) -> Path:
    """The file `<name>.npz` of the folder, or the project's own where the folder has none."""
    opened.add(f"{name}.npz")
    there = FOLDER / f"{name}.npz"
    return there if there.exists() else OWN / there.name


def unread() -> list[str]:
    """Files of the folder that no test has opened."""
    return sorted(file.name for file in FOLDER.glob("*.npz") if file.name not in opened)


class Golden:
    """Numbers of a published implementation, `<name>.npz`, and the settings that produced them."""

    def __init__(self, name: str):
        self.arrays = np.load(stored(name))
        self.meta = json.loads(str(self.arrays["meta"]))

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    def names(self, key: str) -> list[str]:
        return [str(name) for name in self.arrays[key]]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The numbers whose keys start with `prefix`, which is taken off."""
        found = [
            key
            for key in self.arrays.files
            if key.startswith(prefix) and self.arrays[key].dtype.kind != "U"
        ]
        return {key.removeprefix(prefix): self[key] for key in found}


def numbered(name: str, settings: str = "configs") -> range:
    """The cases that a file holds, by their place in its list of settings: what a test runs
    through.
    """
    return range(len(Golden(name).meta[settings]))
