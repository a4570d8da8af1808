"""Peak memory of a process that decodes photographs: a whole batch of them, beside MAE's official
recipe.

    python benchmarks/photographs.py

JPEGs of 24 megapixels are drawn into a folder of their own. Each reader has a fresh process with
one thread, as a data worker; its memory is what is resident at most, above what was resident once
everything was imported.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from input import official, ours
from PIL import Image

READERS = {"mim": ours, "official MAE recipe (Pillow)": official}


def draw(folder: Path, count: int, width: int, height: int) -> None:
    """Photographs with large and small shapes, so that their files are as long as those of
    cameras.
    """
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (16, 24, 3), dtype=np.uint8)).resize(
            (width, height)
        )
        fine = random.integers(-12, 13, (height, width, 1), dtype=np.int16)
        picture = np.clip(np.asarray(coarse, np.int16) + fine, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.jpg", quality=92)


def resident(which: str) -> int:
    """MiB of this process: VmRSS now, VmHWM at most."""
    (line,) = (
        line
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith(f"{which}:")
    )
    return int(line.split()[1]) // 1024


def read(name: str, folder: Path, batch_size: int) -> None:
    """Read one batch, and print how much memory that took."""
    torch.set_num_threads(1)
    before, files = resident("VmRSS"), sorted(map(str, folder.glob("*.jpg")))
    paths = [files[i % len(files)] for i in range(batch_size)]
    READERS[name](paths, 224, batch_size)
    print(f"| {name} | {resident('VmHWM') - before:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=6000)
    parser.add_argument("--height", type=int, default=4000)
    parser.add_argument("--reader", choices=READERS, help="read in this process")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.reader:
        return read(given.reader, given.folder, given.batch_size)
    size = given.width * given.height * 3 / 2**20
    print(
        f"| {given.batch_size} photographs of {given.width} x {given.height} pixels, {size:.0f} "
        "MiB each | MiB |"
    )
    print("|---|--:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), 4, given.width, given.height)
        for name in READERS:
            more = ["--reader", name, "--folder", folder, "--batch-size", str(given.batch_size)]
            subprocess.run([sys.executable, __file__, *more], check=True)


if __name__ == "__main__":
    main()
