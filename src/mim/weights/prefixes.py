"""Where others put the weights of an encoder: under keys of a checkpoint, and under prefixes of
their names.
"""

from collections.abc import Iterable, Mapping

from mim.plain import printable

CONTAINERS = (
    *(
        "state_dict_ema",
        "model_ema",
        "teacher",
        "state_dict",
        "model",
        "model_state_dict",
        "student",
        "module",
    ),
    *("target_encoder", "encoder"),  # of MSN and I-JEPA
)
"""Under which key trainings keep their weights; where there are several, an average comes first."""
AVERAGED = ("teacher", "momentum_encoder", "model_ema", "ema")
_WORDS = {
    *AVERAGED,
    "module",
    "visual",
    "trunk",
    "backbone",
    "encoder",
    "student",
    "model",
    "net",
    "base_encoder",
    "network",
}
_STEM = "patch_embed.proj.weight"


def encoder_prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes under which there is a whole encoder, `teacher.backbone.`, of averaged weights
    first.
    """
    found = [name.removesuffix(_STEM) for name in names if name.endswith(f".{_STEM}")]
    known = [prefix for prefix in found if set(prefix[:-1].split(".")) <= _WORDS]
    return sorted(
        known, key=lambda prefix: (not any(word in AVERAGED for word in prefix.split(".")), prefix)
    )


def under_key(names: Iterable[str], key: str, origin: str) -> str:
    """Prefix of the encoder that a key means: `teacher` of `teacher.backbone.`.

    Raises:
        ValueError: where there is no encoder under it, naming those that there are.
    """
    found = [name.removesuffix(_STEM) for name in names if name.endswith(_STEM)]
    for prefix in found:
        if prefix.startswith(f"{key}."):
            return prefix
    others = ", ".join(prefix[:-1] or "the top" for prefix in found) or "nowhere"
    raise ValueError(
        f"{printable(origin)} holds no encoder under checkpoint_key={printable(key, 60)}; there is "
        f"one under {others}"
    )


def container_of(content: object, key: str | None) -> tuple[str | None, str | None]:
    """The key of a checkpoint that `checkpoint_key=` means, and what is left of it, a prefix of
    names.

    `ema` of a file that has it is (`ema`, None), `state_dict.teacher` may be (`state_dict`,
    `teacher`), and what is no key of the file is a prefix alone.
    """
    if key is None or not isinstance(content, Mapping):
        return None, key
    words = key.split(".")
    for count in range(len(words), 0, -1):
        name = ".".join(words[:count])
        if isinstance(content.get(name), Mapping):
            return name, ".".join(words[count:]) or None
    return None, key
