"""What one GPU says of this project: is it right there, how fast, does the input keep up, does it
learn.

    python benchmarks/gpu --out gpu_results --data <folder> --minutes 12
    python benchmarks/gpu --out gpu_results --parts fast fed
    python benchmarks/gpu --out /tmp/toy --size toy  # on a CPU, in a minute: does each script run?

Each part is a process of its own with a share of the time; one that fails or is stopped leaves what
it had, and the next begins. `<out>/<part>.json` has a part's numbers, `<out>/<part>.log` what it
printed, `<out>/gpu.md` all tables. Missing packages may be given as a folder of wheels, which are
installed beside the environment and not into it (`--wheels`).
"""

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
from junit import tests_of
from report import Report, markdown

ROOT = Path(__file__).parents[2]
SHARES = {"right": 2.5, "fast": 4.5, "fed": 1.5, "learns": 3.5}
"""Minutes of a part where 12 are given."""


def environment(wheels: Path | None) -> dict[str, str]:
    """The environment of a part: this project's code, and what the wheels hold."""
    paths = [ROOT / "src", ROOT / "benchmarks", ROOT / "benchmarks" / "gpu"]
    if wheels is not None:
        site = Path(tempfile.gettempdir()) / "mim_gpu_site"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-index",
            "--no-deps",
            "--no-compile",
        ]
        files = sorted(map(str, wheels.glob("*.whl")))
        subprocess.run([*pip, "--upgrade", "--target", str(site), *files], check=True)
        paths.append(site)
    found = [*map(str, paths), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(found), "PYTHONUNBUFFERED": "1"}


def command(part: str, given: argparse.Namespace, minutes: float) -> list[str]:
    """The command line of one part."""
    if part == "right":
        chosen = ["-m", "gpu", "tests/gpu", "-q", f"--junitxml={given.out / 'right.xml'}"]
        return [sys.executable, "-m", "pytest", *chosen, "-p", "no:cacheprovider"]
    line = [
        sys.executable,
        str(ROOT / "benchmarks" / "gpu" / f"{part}.py"),
        "--out",
        str(given.out),
    ]
    line += ["--minutes", f"{minutes:.2f}", "--size", given.size]
    return line + (["--data", str(given.data)] if given.data else [])


def follow(line: list[str], env: dict[str, str], log: Path, seconds: float) -> str:
    """Run a command, show and keep what it prints, and stop it when its time is over: how it ended,
    in words.
    """
    with log.open("w") as kept:
        process = subprocess.Popen(line, cwd=ROOT, env=env, stdout=kept, stderr=subprocess.STDOUT)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # upon which pytest writes what it has
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            code = None
    print(log.read_text(), flush=True)
    return "its time was over" if code is None else "done" if code == 0 else f"ended with {code}"


def warm(given: argparse.Namespace, env: dict[str, str]) -> list[subprocess.Popen[bytes]]:
    """Compile the steps of `fast` beside the tests, which measure no speed."""
    line, kept = command("fast", given, 0), (given.out / "warm.log").open("w")
    groups = (["0"], ["1"], ["3"], ["4"])
    whole = [[*line, "--warm", "--cases", *cases] for cases in groups]
    return [subprocess.Popen(each, cwd=ROOT, env=env, stdout=kept, stderr=kept) for each in whole]


def machine() -> str:
    """What the numbers were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    software = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "timm", "pytorch-lightning")
    )
    return f"{gpu}, {os.cpu_count()} CPU cores; Python {platform.python_version()}, {software}"


def main() -> None:
    """Run the parts and write one page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--minutes", type=float, default=12, help="of all parts together")
    parser.add_argument("--size", choices=["full", "toy"], default="full")
    parser.add_argument(
        "--data", type=Path, help="with imagenet_sample_1000/, cifar10_images/ or tars"
    )
    parser.add_argument("--wheels", type=Path, help="a folder of wheels of what is missing")
    parser.add_argument("--commit", default="unknown", help="of this code")
    given = parser.parse_args()
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    env = environment(given.wheels)
    page = [
        f"# One GPU\n\n{machine()}; commit {given.commit}. Made by `python {' '.join(sys.argv)}`."
    ]
    warming = (
        warm(given, env) if {"right", "fast"} <= set(given.parts) and given.size == "full" else []
    )
    total = sum(SHARES[part] for part in given.parts)
    for part in given.parts:
        minutes = SHARES[part] * given.minutes / total
        start = time.monotonic()
        how = follow(command(part, given, minutes), env, given.out / f"{part}.log", 60 * minutes)
        if part == "right":
            for process in warming:
                process.kill()
            tests_of(given.out / "right.xml", Report(given.out / "right.json"))
        words = (
            f"{part}: {how}, after {time.monotonic() - start:.0f} s of at most {60 * minutes:.0f}"
        )
        print(f"== {words}", flush=True)
        found = given.out / f"{part}.json"
        tables = markdown(found) if found.exists() else "Nothing was left."
        page.append(f"## {part.capitalize()}\n\n{words}.\n\n{tables}")
        (given.out / "gpu.md").write_text("\n\n".join(page) + "\n")


if __name__ == "__main__":
    main()
