"""A few pictures of each class, as a folder of their own: train/, tune/ (further training pictures)
and test/.
"""

import json
from pathlib import Path

from plan import Size


def subset(source: Path, size: Size, out: Path) -> Path:
    """Folder with the first pictures of each class, as links; made once.

    Args:
        source: with train/<class>/ and test/<class>/.
        size: how many of a class.
        out: where to put it.

    Raises:
        FileNotFoundError: where a class has too few pictures, or there is none.
    """
    wanted = {"images": size.images, "tune": tuned(size), "test": size.test}
    record = out / "made.json"
    if record.exists() and json.loads(record.read_text()) == wanted:
        return out
    classes = (
        sorted(path.name for path in (source / "train").iterdir() if path.is_dir())
        if source.is_dir()
        else []
    )
    if not classes:
        raise FileNotFoundError(
            f"{source}/train holds no folder of a class; --data is a folder with train/ and test/"
        )
    for name in classes:
        train, test = (sorted((source / split / name).iterdir()) for split in ("train", "test"))
        first = size.images if size.tune else size.images - tuned(size)
        parts = {
            "train": train[:first],
            "tune": train[first : first + tuned(size)],
            "test": test[: size.test],
        }
        for split, pictures in parts.items():
            least = {"train": first, "tune": tuned(size), "test": size.test}[split]
            if len(pictures) < least:
                raise FileNotFoundError(
                    f"{source} has {len(pictures)} pictures of {name} for "
                    f"{split}, and needs {least}"
                )
            folder = out / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for picture in pictures:
                if not (folder / picture.name).exists():
                    (folder / picture.name).symlink_to(picture.resolve())
    record.write_text(json.dumps(wanted))
    return out


def tuned(size: Size) -> int:
    """Pictures of a class that rates are chosen by: a tenth of the training pictures where the size
    says none.
    """
    return size.tune or size.images // 10
