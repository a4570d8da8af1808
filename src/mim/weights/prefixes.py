"""Where others put the weights of an encoder: under keys of a checkpoint, and under prefixes of their names."""

from collections.abc import Iterable

CONTAINERS = ("state_dict_ema", "model_ema", "teacher", "state_dict", "model", "model_state_dict", "student")
"""Under which key trainings keep their weights; where there are several, an average comes first."""
AVERAGED = ("teacher", "momentum_encoder", "model_ema", "ema")
_WORDS = {*AVERAGED, "module", "backbone", "encoder", "student", "model", "net", "base_encoder", "network"}
_STEM = "patch_embed.proj.weight"


def encoder_prefixes(names: Iterable[str]) -> list[str]:
    """Prefixes under which there is a whole encoder, `teacher.backbone.`, of averaged weights first."""
    found = [name.removesuffix(_STEM) for name in names if name.endswith(f".{_STEM}")]
    known = [prefix for prefix in found if set(prefix[:-1].split(".")) <= _WORDS]
    return sorted(known, key=lambda prefix: (not any(word in AVERAGED for word in prefix.split(".")), prefix))
