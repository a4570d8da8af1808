"""What a figure calls a model: short, told apart, in the field's own spelling."""

import re
from collections.abc import Sequence
from pathlib import Path

SPELLING = {
    word.lower().replace("-", ""): word
    for word in (
        *("MAE", "SimMIM", "EMAE", "SBAM", "SBM", "AMT", "AM", "MST", "AttMask", "DINO"),
        *("ViT", "BEiT", "Swin", "ImageNet", "CIFAR-10", "CIFAR-100", "STL-10"),
    )
}
DATE = re.compile(r"\d{4}-\d\d-\d\d_.*")  # a run's folder under its name


def names_of_checkpoints(names: Sequence[str] | None, sources: Sequence[str]) -> list[str]:
    """The names that are given, or, of checkpoints as `checkpoint=` takes them, short ones.

    Raises:
        ValueError: where it is not one name a checkpoint, or a checkpoint is given twice.
    """
    if twice := {source for source in sources if list(sources).count(source) > 1}:
        raise ValueError(f"checkpoint= names {min(twice)} twice; give each checkpoint once")
    if names is None:
        return short_names(sources)
    if len(set(names)) != len(sources):
        raise ValueError(
            f"evaluate.names={list(names)} for {len(sources)} checkpoint(s); give each one a name "
            "of its own, or "
            "evaluate.names=null"
        )
    return list(names)


def short_names(sources: Sequence[str]) -> list[str]:
    """A run is called by its name, by its date as well where that is not enough, and by its folders
    where that is not either.
    """
    ladders = [_ladder(_parts(source)) for source in sources]
    names = []
    for i, ladder in enumerate(ladders):
        others = ladders[:i] + ladders[i + 1 :]
        names.append(
            next(
                (name for step, name in enumerate(ladder) if _alone(name, step, others)), ladder[-1]
            )
        )
    return [" / ".join(display_name(part) for part in name) for name in names]


def told_apart(names: Sequence[str]) -> list[str]:
    """Names without the words that all of them share; as they are where no word would be left of
    one.
    """
    common = set.intersection(*(set(name.split()) for name in names)) if len(names) > 1 else set()
    short = [" ".join(word for word in name.split() if word not in common) for name in names]
    told = len(set(short)) == len(short) and all(any(map(str.isalpha, name)) for name in short)
    return short if told else list(names)


def display_name(name: str) -> str:
    """`mae_vit_base_cifar10` -> `MAE ViT base CIFAR-10`."""
    return " ".join(SPELLING.get(word.lower(), word) for word in name.split("_"))


def _parts(source: str) -> list[str]:
    kind, colon, name = source.partition(":")
    if colon and kind in ("timm", "hf"):
        return [name]
    path = Path(source).resolve()
    path = path.with_suffix("") if path.suffix in (".ckpt", ".pth", ".pt", ".safetensors") else path
    return [part for part in path.parts[1:] if part not in ("checkpoints", "last")]


def _ladder(path: list[str]) -> list[list[str]]:
    """Ever longer names of one checkpoint."""
    name = max((i for i, part in enumerate(path) if not DATE.fullmatch(part)), default=0)
    return [path[name : name + 1], *(path[start:] for start in range(name, -1, -1))]


def _alone(name: list[str], step: int, others: Sequence[list[list[str]]]) -> bool:
    return all(step >= len(other) or other[step] != name for other in others)
