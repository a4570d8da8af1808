"""Whether weights and pictures that a command asks for are there, said before anything that takes
seconds is imported.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mim.launch.processes import has_gpu_driver
from mim.plain import printable

OURS = "mim.data."
DOWNLOADED = ("cifar", "stl10", "tiny_imagenet")
"""Modules in it whose data sets are fetched where they are not there."""
ELSEWHERE = ("timm", "hf")
"""What stands before the colon of weights that are fetched."""
SAVED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""Names that transformers gives to weights; the first that is there is read."""
LAST = Path("checkpoints", "last.ckpt")
"""The checkpoint of a run."""


def refuse_missing(sources: Iterable[str | Path]) -> None:
    """Refuse weights that cannot be found.

    Args:
        sources: run folders, files, `timm:<name>` or `hf:<repository>`; `teacher:` may stand before
            a path.

    Raises:
        FileNotFoundError: naming the first that is not there, or a folder that holds none.
    """
    for source in sources:
        kind, colon, _ = str(source).partition(":")
        path = Path(str(source).removeprefix("teacher:"))
        if (colon and kind in ELSEWHERE) or previous_of(path).exists():
            continue
        if not path.exists():
            raise no_such_weights(path)
        if path.is_dir() and not _holds_weights(path):
            raise no_weights_in(path)


def _holds_weights(folder: Path) -> bool:
    """Whether it looks like a run, a checkpoint of many processes, or what transformers saved."""
    last = folder / LAST
    return any(
        path.exists()
        for path in (
            last,
            previous_of(last),
            folder / ".metadata",
            *(folder / name for name in SAVED),
        )
    )


def no_such_weights(path: Path) -> FileNotFoundError:
    """Error about a path at which there is nothing."""
    return FileNotFoundError(
        f"there is no {path}; give a run folder (runs/<name>/<date_time>) or a .ckpt file"
    )


def no_weights_in(folder: Path) -> FileNotFoundError:
    """Error about a folder that is no run; where runs are in it, the newest is named."""
    runs = sorted(
        file.parents[1] for deep in ("*", "*/*") for file in folder.glob(f"{deep}/{LAST}")
    )
    newest = (
        f"; the newest run in it is {printable(max(runs, key=lambda run: run.name))}"
        if runs
        else ""
    )
    return FileNotFoundError(
        f"{printable(folder)} holds no {LAST}; give a run folder that has one, or a .ckpt file"
        f"{newest}"
    )


def refuse_missing_folder(data: Mapping[str, object]) -> None:
    """Refuse a data set of ours whose folder is not there, unless it would be downloaded.

    Args:
        data: its settings, with `_target_` and `root`; without these nothing is known about it.

    Raises:
        FileNotFoundError: naming the folder.
    """
    target, root = data.get("_target_"), data.get("root")
    if not isinstance(target, str) or not target.startswith(OURS):
        return
    _refuse_missing_file(target.removeprefix(OURS).partition(".")[0], data)
    if not isinstance(root, str):
        return
    if (
        target.removeprefix(OURS).partition(".")[0] not in DOWNLOADED
        and not Path(root).expanduser().is_dir()
    ):
        raise no_folder(root)


def no_folder(root: str | Path) -> FileNotFoundError:
    """Error about a folder of pictures that is not there."""
    return FileNotFoundError(
        f"data.root={printable(root)} is not a folder; point it at pictures, e.g. "
        "data.root=/path/to/pictures, which may hold train/ and val/ or test/ (for all data sets: "
        "the environment variable MIM_DATA)"
    )


def _refuse_missing_file(module: str, data: Mapping[str, object]) -> None:
    """Refuse a table that is not there, and a data set of Hugging Face without a name, in the words
    of those who would open them.
    """
    table, root = data.get("table"), data.get("root")
    if module == "hf" and data.get("name") is None:
        raise no_data_set()
    if module == "hf" and str(data.get("name")).endswith(".parquet"):
        file = Path(str(data.get("name"))).expanduser()
        if not file.exists():
            raise FileNotFoundError(
                f"data.name={printable(str(file))} is no file; give a name of the hub, a .parquet "
                "file, a folder of them, or one that save_to_disk made"
            )
    if module == "csv" and isinstance(table, str):
        find_table(table, root if isinstance(root, str) else None)


def no_data_set() -> FileNotFoundError:
    """Error about a data set of Hugging Face that has no name."""
    return FileNotFoundError(
        "data=hf needs a data set: data.name=<user>/<set> of the hub, a .parquet file, or a "
        "folder, e.g. data.name=/my/set"
    )


def find_table(table: str, root: str | Path | None) -> Path:
    """A table of pictures, in a folder of them or as a path from here.

    Raises:
        FileNotFoundError: where it is in neither.
    """
    given = Path(table).expanduser()
    for file in ([] if root is None else [Path(root).expanduser() / given]) + [given]:
        if file.is_file():
            return file
    inside = "" if root is None else f" in data.root={printable(str(root))}"
    raise FileNotFoundError(
        f"data.table={printable(table)} is no file{inside}; "
        "give its whole path, e.g. data.table=/path/to/labels.csv"
    )


def refuse_missing_gpu(data: Mapping[str, object]) -> None:
    """Refuse to decode on a GPU where there is no driver of one.

    Raises:
        ValueError: in the words of whoever would decode.
    """
    if data.get("decoder") == "nvjpeg" and not has_gpu_driver():
        raise no_gpu_to_decode()


def no_gpu_to_decode() -> ValueError:
    """Error about pictures that a GPU is to decode, where there is none."""
    return ValueError(
        "data.decoder=nvjpeg decodes on an NVIDIA GPU, and this computer has none; leave it out"
    )


def refuse_missing_pictures(pictures: Iterable[str | Path]) -> None:
    """Refuse pictures that cannot be found.

    Args:
        pictures: a folder, files, or `data=<name>` and settings of it, which whoever opens it looks
            at.

    Raises:
        FileNotFoundError: naming the first that is not there.
    """
    asked = list(map(str, pictures))
    if any(each.startswith(("data=", "data.", "+data.")) for each in asked):
        return
    for picture in asked:
        if not Path(picture).expanduser().exists():
            raise FileNotFoundError(
                f"there is no {printable(picture)}; give a folder of pictures, or files"
            )


def previous_of(target: Path) -> Path:
    """Path of the old checkpoint while a folder takes its place: folders are not replaced in one
    go.
    """
    return target.with_name(f".{target.name}.previous")
