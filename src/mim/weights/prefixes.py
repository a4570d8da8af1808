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
_AVERAGED = {"teacher", "momentum", "ema", "target", "averaged", "swa", "k"}
"""Words of names of averaged weights: `ema_model`, `momentum_encoder`, `encoder_k`."""
_STEM = "patch_embed.proj.weight"
_BODY = ("blocks.", "layers.")
_WRAPPERS = (
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "_checkpoint_wrapped_module.",
    "_forward_module.",
)
"""What torch and others put into names wherever they wrap a module."""


def unwrapped(name: str) -> str:
    """Name of a tensor without what wrappers of modules put into it."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name.removeprefix("module.")


def encoder_prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes under which there is a whole encoder, `teacher.backbone.`, of averaged weights
    first.
    """
    known = list(names)
    found = [name.removesuffix(_STEM) for name in known if name.endswith(f".{_STEM}")]
    whole = [each for each in found if any(name.startswith(_bodies(each)) for name in known)]
    return sorted(whole, key=lambda prefix: (not _is_averaged(prefix), prefix))


def _bodies(prefix: str) -> tuple[str, ...]:
    return tuple(prefix + body for body in _BODY)


def _is_averaged(name: str) -> bool:
    return not _AVERAGED.isdisjoint(name.lower().replace("_", ".").split("."))


DEEPEST = 3
"""Levels of keys, one in another, below which no weights are looked for."""


def weights_in(content: Mapping[object, object], levels: int = DEEPEST) -> Mapping[object, object]:
    """What holds the tensors of a part of a checkpoint: itself, or what is under a key of it,
    `ema` -> `module`.
    """
    if _holds_encoder(content, 0) or not levels:
        return content
    held = next((content[each] for each in containers(content) if _holds_encoder(content[each])), 0)
    return weights_in(held, levels - 1) if isinstance(held, Mapping) else content


def _holds_encoder(value: object, levels: int = DEEPEST - 1) -> bool:
    """Whether there is an encoder in it, or under a key of it."""
    if not isinstance(value, Mapping):
        return False
    if any(isinstance(name, str) and name.endswith(_STEM) for name in value):
        return True
    return levels > 0 and any(_holds_encoder(each, levels - 1) for each in value.values())


def containers(content: Mapping[object, object]) -> list[str]:
    """Keys of a checkpoint under which there are weights, the best first: averaged ones, then those
    of `CONTAINERS`, and where it has none of these any other that holds an encoder.
    """
    known = [each for each in CONTAINERS if isinstance(content.get(each), Mapping)]
    others = [
        name
        for name, value in content.items()
        if isinstance(name, str) and name not in CONTAINERS and _holds_encoder(value)
    ]
    averaged = [name for name in others if _is_averaged(name)]
    return [*averaged, *known] or others


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
