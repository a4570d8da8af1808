"""Files of a folder that transformers saved: one with all weights, or an index of several."""

from collections.abc import Collection
from pathlib import Path

from mim.launch.there import SAVED
from mim.plain import plain, printable, read_json

MOST_PARTS = 1000


def saved_weights(path: Path) -> Path | None:
    """Weights of a folder that transformers saved, or an index that is given itself; None where it
    is none.
    """
    if path.name.endswith(".index.json") and path.is_file():
        return path
    return next((path / name for name in SAVED if (path / name).exists()), None)


def parts_of(file: Path) -> list[tuple[Path, Collection[str]]]:
    """Files that hold the weights, and which tensors an index says each of them has; the file
    itself where it is no index.

    Raises:
        ValueError: where the index names files elsewhere, too many, or is none.
    """
    if file.suffix != ".json":
        return [(file, ())]
    index = _weight_map(file)
    parts: dict[str, list[str]] = {}
    for name, part in index.items():
        parts.setdefault(part, []).append(name)
    if len(parts) > MOST_PARTS:
        raise ValueError(
            f"{printable(file)} names {len(parts):,} files; at most {MOST_PARTS:,} are opened"
        )
    return [(file.parent / part, names) for part, names in parts.items()]


def _weight_map(file: Path) -> dict[str, str]:
    """`weight_map` of an index: which file beside it holds which tensor.

    Raises:
        ValueError: where it has none, or a name of a file is a path.
    """
    content = read_json(file)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise ValueError(
            f"{printable(file)} is no index of weights: it has no weight_map; copy it again"
        )
    found = plain(found, str(file), "weight_map")
    for part in found.values():
        if (
            not isinstance(part, str)
            or part in ("", ".", "..")
            or Path(part).name != part
            or "\\" in part
        ):
            raise ValueError(
                f"{printable(file)} names {printable(part, 60)}; weights are read from files "
                "beside their index alone"
            )
    return found
