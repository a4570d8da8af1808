"""Table of features in a file: rows of path, label and feature, written in parts of constant
size.
"""

import csv
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Rows(NamedTuple):
    """Some rows of a table of features, column by column."""

    path: Sequence[str]
    label: Sequence[str]
    feature: NDArray[np.float32]
    """(n, D), or (n, L, D) of patches."""


Parts = Callable[[], Iterable[Rows]]
"""The parts of a table, from the first on, each time it is called."""


def write_npz(out: Path, parts: Parts, about: str) -> None:
    """Arrays `path` (N,), `label` (N,), `feature` (N, D) or (N, L, D), and `about`, for
    `numpy.load`.
    """
    widths, count, shape = [1, 1], 0, (0,)
    for rows in parts():
        widths = [max(most, *map(len, names)) for most, names in zip(widths, rows[:2], strict=True)]
        count, shape = count + len(rows.feature), rows.feature.shape[1:]
    text = [np.dtype(f"<U{width}") for width in widths]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        _column(
            archive, "path", (count,), text[0], (np.array(rows.path, text[0]) for rows in parts())
        )
        _column(
            archive, "label", (count,), text[1], (np.array(rows.label, text[1]) for rows in parts())
        )
        _column(
            archive, "feature", (count, *shape), np.dtype("<f4"), (rows.feature for rows in parts())
        )
        said = np.array(about)
        _column(archive, "about", (), said.dtype, iter([said]))


def _column(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    arrays: Iterator[np.ndarray],
) -> None:
    """One array, in the format of `numpy.save`, part after part."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_2_0(stream, header)
        for array in arrays:
            stream.write(np.ascontiguousarray(array, dtype).tobytes())


def write_csv(out: Path, parts: Parts, about: str) -> None:
    """Columns `path`, `label`, and `f0`, `f1`, ... with as many digits as a float32 has.

    Raises:
        ValueError: for features of patches.
    """
    with out.open("w", newline="") as stream:
        table = csv.writer(stream)
        for number, rows in enumerate(parts()):
            if rows.feature.ndim > 2:
                raise ValueError(
                    "features of patches are no table of numbers; write them to .npz or .parquet"
                )
            if number == 0:
                table.writerow(["path", "label", *(f"f{i}" for i in range(rows.feature.shape[1]))])
            numbers = rows.feature.astype(str).tolist()
            table.writerows(
                [path, label, *line]
                for path, label, line in zip(rows.path, rows.label, numbers, strict=True)
            )


def write_parquet(out: Path, parts: Parts, about: str) -> None:
    """Columns `path`, `label` and `feature`, a list of fixed size; `mim` in its metadata says
    `about`.
    """
    import pyarrow
    from pyarrow import parquet

    writer: parquet.ParquetWriter | None = None
    try:
        for rows in parts():
            size = int(np.prod(rows.feature.shape[1:]))
            if writer is None:
                feature = pyarrow.list_(pyarrow.float32(), size)
                fields = [
                    ("path", pyarrow.string()),
                    ("label", pyarrow.string()),
                    ("feature", feature),
                ]
                schema = pyarrow.schema(fields, metadata={"mim": about})
                writer = parquet.ParquetWriter(out, schema)
            values = pyarrow.FixedSizeListArray.from_arrays(
                pyarrow.array(rows.feature.ravel()), size
            )
            columns = [pyarrow.array(rows.path), pyarrow.array(rows.label), values]
            writer.write_table(pyarrow.table(columns, schema=schema))
    finally:
        if writer is not None:
            writer.close()


WRITERS: dict[str, Callable[[Path, Parts, str], None]] = {
    ".csv": write_csv,
    ".npz": write_npz,
    ".parquet": write_parquet,
}


def writer_of(out: Path, patches: bool) -> Callable[[Path, Parts, str], None]:
    """Writer for a file's ending, once all that it needs is there.

    Raises:
        ValueError: where it is none of these, something is in its place, or a package is missing.
    """
    if out.suffix not in WRITERS:
        raise ValueError(
            f"--out={out} ends with none of {', '.join(WRITERS)}, e.g. --out features.npz"
        )
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere")
    if out.suffix == ".csv" and patches:
        raise ValueError(
            f"--out={out}: features of patches are no table of numbers; write them to .npz or "
            ".parquet"
        )
    if out.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError as error:
            raise ValueError(
                f"--out={out} needs pyarrow: pip install pyarrow (an extra of ours: parquet); .npz "
                "and .csv need nothing"
            ) from error
    return WRITERS[out.suffix]
