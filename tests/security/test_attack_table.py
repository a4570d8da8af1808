"""The table of what was tried, file by file: each is refused in one line or does no harm, and
docs/security.md has the counts.
"""

import json
import random
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from mim.checkpoint.sharded import read_sharded, read_sharded_weights
from mim.data.files import Files
from mim.data.shard_index import index_of
from mim.evaluate.array_file import ArrayFile
from mim.figure.runs import read_run
from mim.sweep.job import read_job
from mim.weights.read import read_weights
from tests.security.files import CONFIG, SIZES, WRITERS, changed, write_ckpt, write_sharded
from tests.security.test_configs_in_files import HUGE, command, judge, leaves, reference
from tests.security.test_pictures_from_elsewhere import BOMBS, encoded, gif, png
from tests.security.test_runs_from_elsewhere import LAUGHS
from tests.security.test_shards_from_elsewhere import CHANGES, edit
from tests.security.test_tar_files_from_elsewhere import shard
from tests.security.test_training_state import RESTS

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
Attack = Callable[[], Any]
"""Write a file and read it, as the commands do."""


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Copies of a file with a flipped byte, a cut, a block of zeros, or a part twice, the same for
    the same seed.
    """
    draw = random.Random(seed)
    for number in range(count):
        at, length = draw.randrange(len(content)), draw.choice([1, 16, 512])
        yield (
            content[:at] + bytes([content[at] ^ draw.randrange(1, 256)]) + content[at + 1 :],
            content[:at],
            content[:at] + bytes(len(content[at : at + length])) + content[at + length :],
            content[:at] + content[at : at + length] + content[at:],
        )[number % 4]


def attacks(root: Path, trap: Path) -> Iterator[tuple[str, Attack]]:
    """Every attack with its kind."""
    count = 0

    def fresh() -> Path:
        nonlocal count
        count += 1
        (root / str(count)).mkdir()
        return root / str(count)

    def in_file(name: str, content: bytes, act: Callable[[Path], Any]) -> Attack:
        def run() -> Any:
            file = fresh() / name
            file.write_bytes(content)
            return act(file)

        return run

    for writer in WRITERS.values():
        for path in leaves(CONFIG):
            yield (
                "a reference in a config",
                lambda w=writer, p=path: judge(w(fresh(), changed(p, reference(trap)))),
            )
    for path in leaves(CONFIG):
        yield (
            "a command in a config",
            lambda p=path: judge(write_ckpt(fresh(), changed(p, command(trap)))),
        )
    for name in SIZES:
        for value in HUGE:
            yield (
                "a size out of bounds in a config",
                lambda n=name, v=value: judge(write_ckpt(fresh(), changed(f"encoder.{n}", v))),
            )
    for content in damaged(write_ckpt(fresh(), CONFIG).read_bytes(), 60, 0):
        yield "a damaged .ckpt", in_file("x.ckpt", content, read_weights)
    for content in damaged(WRITERS["safetensors"](fresh(), CONFIG).read_bytes(), 40, 1):
        yield "a damaged .safetensors", in_file("x.safetensors", content, read_weights)
    for change in CHANGES.values():

        def described(change: Any = change) -> Any:
            folder = write_sharded(fresh(), CONFIG)
            edit(folder, change)
            return read_sharded_weights(folder)

        yield "a sharded checkpoint that its folder does not hold", described
    for rest in RESTS.values():

        def resumed(rest: Any = rest) -> Any:
            folder = write_sharded(fresh(), CONFIG)
            torch.save(rest, folder / "rest.pt")
            return read_sharded(folder)

        yield "a sharded checkpoint that its folder does not hold", resumed
    for content in damaged(shard(fresh() / "x.tar").read_bytes(), 60, 2):
        yield "a damaged shard", in_file("x.tar", content, lambda file: index_of([file]))
    for label in (b"30000000", b"-1", b"", b"1_0", b"x", b"9" * 31, b"1" + b" " * 10**5):
        yield (
            "a class out of bounds",
            lambda label=label: index_of([shard(fresh() / "x.tar", (b"0", label))]),
        )
    for content in BOMBS.values():
        yield "a picture that asks for too much memory", in_file("x.png", content, picture)
    for seed, whole in enumerate(
        (png(20, 20), gif(20, 20), *(encoded(k, 64, 48) for k in ("JPEG", "BMP", "TIFF")))
    ):
        for content in damaged(whole, 12, seed):
            yield "a damaged picture", in_file("x.jpg", content, picture)
    for text in (
        LAUGHS,
        "[" * 10**5,
        "a: ${oc.env:HOME}",
        "a: !!python/name:os.system",
        "\x00",
        "a: .nan",
        "a: *b",
    ):
        yield (
            "a run's folder",
            in_file("config.yaml", text.encode(), lambda file: run_of(file.parent)),
        )
    for text in (
        "[]",
        "7",
        '{"metrics": 7}',
        '{"status": 7}',
        "[" * 10**5,
        "{",
        '{"metrics": {"a": 1e999}}',
    ):
        yield (
            "a run's folder",
            in_file("results.json", text.encode(), lambda file: read_run(file.parent)),
        )
        yield (
            "a sweep's folder",
            in_file("job.json", text.encode(), lambda file: read_job(file.parent, ["a"])),
        )
    for about in ([6, 5], [5, 4], [6 * 10**11, 4], [-6, -4], [], {}, 24, [6.0, 4], None, "no"):

        def cached(about: Any = about) -> Any:
            column = ArrayFile(fresh() / "features", torch.float32)
            column.append(torch.ones(6, 4))
            column.finish()
            column.about.write_text(json.dumps(about))
            return column.open()

        yield "a feature cache", cached


def picture(file: Path) -> None:
    """Read one picture of a data set: what cannot be read is skipped with a line."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if Files([str(file)], [-1]).read(0) is None:
            raise ValueError(
                str(next(line.message for line in said if "skipped" in str(line.message)))
            )


def run_of(folder: Path) -> Any:
    (folder / "results.json").write_text("{}")
    return read_run(folder)


def outcome(attack: Attack) -> str:
    """What becomes of it; errors of other kinds are ours."""
    try:
        attack()
    except (ValueError, OSError) as refusal:
        line = str(refusal)
    else:
        return "harmless"
    assert "\n" not in line
    assert len(line) < 2000
    return "refused"


def test_every_attack_is_refused_in_a_line_or_does_no_harm(tmp_path, trap):
    counts: dict[str, dict[str, int]] = {}
    for kind, attack in attacks(tmp_path, trap):
        of_kind = counts.setdefault(kind, {"refused": 0, "harmless": 0})
        of_kind[outcome(attack)] += 1
        assert not trap.exists(), kind
    total = sum(sum(each.values()) for each in counts.values())
    assert total >= 300
    rows = [
        f"| {kind} | {sum(n.values())} | {n['refused']} | {n['harmless']} |"
        for kind, n in counts.items()
    ]
    print("\n".join(rows))  # pytest -s
    for kind, said in re.findall(r"^\| (a .*?) \| (\d+) \|", PAGE.read_text(), flags=re.MULTILINE):
        assert sum(counts[kind].values()) == int(said)
    assert len(
        re.findall(r"^\| a .* \| \d+ \| \d+ \| \d+ \|$", PAGE.read_text(), flags=re.MULTILINE)
    ) == len(counts)
