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


def called(names: Sequence[str] | None, sources: Sequence[str]) -> list[str]:
    """The names that are given, or, of checkpoints as `checkpoint=` takes them, short ones.

    Raises:
        ValueError: where it is not one name a checkpoint.
    """
    if names is None:
        return short_names(sources)
    if len(set(names)) != len(sources):
        raise ValueError(
            f"task.names={list(names)} for {len(sources)} checkpoint(s); give each one a name of its own, or task.names=null"
        )
    return list(names)


def short_names(sources: Sequence[str]) -> list[str]:
    """Names of checkpoints as `checkpoint=` takes them: a run is called by its name, and by its date where that is not enough."""
    parts = [_parts(source) for source in sources]
    names = [[part for part in path if not DATE.fullmatch(part)][-1:] for path in parts]
    for i, path in enumerate(parts):
        if names.count(names[i]) > 1:
            names[i] = next((path[-n:] for n in range(1, len(path)) if _tells_apart(path[-n:], i, parts)), path)
    return [" / ".join(spelt(part) for part in name) for name in names]


def spelt(name: str) -> str:
    """`mae_vit_base_cifar10` -> `MAE ViT base CIFAR-10`."""
    return " ".join(SPELLING.get(word.lower(), word) for word in name.split("_"))


def _parts(source: str) -> list[str]:
    kind, colon, name = source.partition(":")
    if colon and kind in ("timm", "hf"):
        return [name]
    path = Path(source).resolve()
    path = path.with_suffix("") if path.suffix in (".ckpt", ".pth", ".pt", ".safetensors") else path
    return [part for part in path.parts[1:] if part not in ("checkpoints", "last")]


def _tells_apart(tail: list[str], i: int, parts: list[list[str]]) -> bool:
    return not any(path[-len(tail) :] == tail for j, path in enumerate(parts) if j != i)
