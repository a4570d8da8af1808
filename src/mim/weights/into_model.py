"""Put weights into a model: the whole encoder or nothing, and whatever else fits; say in one line
what happened.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from mim.encoder.encoder import Encoder, Module
from mim.encoder.model import Model
from mim.encoder.timm_vit import TimmViT
from mim.geometry import by
from mim.weights.grid import said_grid
from mim.weights.resize import resize_encoder, resize_positions
from mim.weights.strangers import refuse_other_blocks
from mim.weights.weights import Weights

_STEM = "patch_embed.proj.weight"


def load_weights_into(weights: Weights, model: Model | Encoder) -> str:
    """Load weights into a model, or into an encoder; return one line about it.

    The encoder must match whole. Each other part (`decoder`, `decoders.hog`, `mask_token`, `head`,
    ...) is loaded if all of it matches, and otherwise stays as it was.

    Raises:
        ValueError: where the encoder is of another architecture, saying which.
    """
    encoder = model.encoder if isinstance(model, Model) else model
    grid = said_grid(weights)
    given, changes = resize_encoder(
        weights.half(encoder=True), encoder.state_dict(), encoder, grid, weights.patches
    )
    rest = weights.half(encoder=False)
    rest, stood_in = _stand_in(given, rest, encoder, model)
    stood_in += _leave_out(given, encoder)
    _check(given, encoder, weights)
    encoder.load_state_dict(given)
    said = [f"encoder {len(given)} of {len(given)} tensors", *changes, *stood_in]
    if encoder is not model:
        said += _fit_parts(rest, model, encoder.geometry.grid, grid)
    elif rest:
        said.append(f"left over: {_some(rest)}")
    return f"{weights.origin}: {', '.join(said)}"


def _stand_in(
    given: dict[str, Tensor], rest: dict[str, Tensor], encoder: Encoder, model: Module
) -> tuple[dict[str, Tensor], list[str]]:
    """A fine-tuned model that normalised the mean of its patches has no norm of its own: its
    `fc_norm` takes that place.
    """
    lacks = "norm.weight" in encoder.state_dict() and "norm.weight" not in given
    if not lacks or "fc_norm.weight" not in rest or "fc_norm.weight" in model.state_dict():
        return rest, []
    given.update({f"norm.{kind}": rest[f"fc_norm.{kind}"] for kind in ("weight", "bias")})
    return {name: value for name, value in rest.items() if not name.startswith("fc_norm.")}, [
        "fc_norm for its norm"
    ]


def _leave_out(given: dict[str, Tensor], encoder: Encoder) -> list[str]:
    """An encoder whose tokens are normalised after pooling has no norm of its own: one that was
    given has no place.
    """
    if not isinstance(encoder.norm, nn.Identity) or "norm.weight" not in given:
        return []
    del given["norm.weight"], given["norm.bias"]
    return ["its norm left out"]


def _fit_parts(
    rest: Mapping[str, Tensor], model: Module, grid: tuple[int, int], theirs: tuple[int, int] | None
) -> list[str]:
    """Load each other part of the model if all of it is there; say which."""
    own = {
        name: value for name, value in model.state_dict().items() if not name.startswith("encoder.")
    }
    said, left = [], dict(rest)
    for part in dict.fromkeys(map(_part, own)):
        wanted = {name: value for name, value in own.items() if _part(name) == part}
        found = {name: left[name] for name in wanted if name in left}
        positions = f"{part}.pos_embed"
        if positions in found and _differ_in_length_only(found[positions], wanted[positions]):
            found[positions] = resize_positions(found[positions], grid, old=theirs)
        wrong = [
            name for name in wanted if name not in found or found[name].shape != wanted[name].shape
        ]
        if not wrong:
            model.load_state_dict(found, strict=False)
            said.append(f"{part} {len(found)} of {len(wanted)}")
        elif found:
            said.append(f"{part} not loaded ({_difference(wrong[0], found, wanted)})")
        else:
            said.append(f"{part} not in it")
        left = {name: value for name, value in left.items() if wrong or name not in found}
    return [*said, f"left over: {_some(left)}"] if left else said


def _part(name: str) -> str:
    """`decoder.norm.bias` -> `decoder`, `decoders.hog.norm.bias` -> `decoders.hog`."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if first == "decoders" else first


def _differ_in_length_only(a: Tensor, b: Tensor) -> bool:
    return a.shape != b.shape and a.shape[-1] == b.shape[-1]


def _check(given: Mapping[str, Tensor], encoder: Encoder, weights: Weights) -> None:
    """Refuse weights of another architecture with its difference in the user's words."""
    own = encoder.state_dict()
    if not isinstance(encoder, TimmViT):
        refuse_other_blocks([name for name in given if name not in own], weights.origin)
    encoder_settings = (weights.config or {}).get("encoder")
    heads = weights.heads or (
        encoder_settings.get("heads") if isinstance(encoder_settings, dict) else None
    )
    has = [m.num_heads for name, m in encoder.named_modules() if name == "blocks.0.attn"]
    other_heads = (
        f"has {heads} attention heads and the encoder {has[0]}"
        if has and isinstance(heads, int) and heads != has[0]
        else None
    )
    for message in (
        _channels(given, own),
        _patch_size(given, own, encoder),
        _width(given, own),
        _depth(given, own),
        other_heads,
        _names(given, own),
    ):
        if message:
            raise ValueError(
                f"{weights.origin} does not fit {type(encoder).__name__}: it {message}"
            )


def _channels(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    if not all(_STEM in tensors for tensors in (given, own)):  # an encoder of somebody's own
        return None
    theirs, ours = (t[_STEM].shape[1] for t in (given, own))
    if theirs == ours:
        return None
    return (
        f"embeds images of {_counted(theirs)} and the encoder those of {ours}; only three are "
        "carried "
        f"to another number: give data.channels={theirs}, or choose weights for {_counted(ours)}"
    )


def _counted(channels: int) -> str:
    return f"{channels} channel{'' if channels == 1 else 's'}"


def _patch_size(
    given: Mapping[str, Tensor], own: Mapping[str, Tensor], encoder: Encoder
) -> str | None:
    if not all(_STEM in tensors for tensors in (given, own)):  # an encoder of somebody's own
        return None
    theirs, ours = (tuple(t[_STEM].shape[2:]) for t in (given, own))
    if theirs == ours:
        return None
    whole = encoder.geometry.patch_size  # Swin's is that of its last stage
    fitting = [size * a // b for size, a, b in zip(whole, theirs, ours, strict=True)]
    said = fitting[0] if fitting[0] == fitting[1] else fitting
    return (
        f"has patches of {by(theirs)} pixels and the encoder of {by(ours)}; try "
        f"encoder.patch_size={said}, or train with checkpoint_patches=bicubic, which resizes the "
        "first layer"
    )


def _width(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    if not all(_STEM in tensors for tensors in (given, own)):
        return None
    theirs, ours = (t[_STEM].shape[0] for t in (given, own))
    return (
        f"is {theirs} wide and the encoder {ours}; try another encoder, or encoder.width={theirs}"
        if theirs != ours
        else None
    )


def _depth(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    theirs, ours = (sum(name.endswith("norm1.weight") for name in t) for t in (given, own))
    return (
        f"has {theirs} blocks and the encoder {ours}; try another encoder, or "
        f"encoder.depth={theirs}"
        if theirs != ours
        else None
    )


def _names(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    missing = [name for name in own if name not in given]
    surplus = [name for name in given if name not in own]
    wrong = [name for name in own if name in given and given[name].shape != own[name].shape]
    parts = [f"lacks {_some(missing)}"] if missing else []
    parts += [f"has {_some(surplus)} besides"] if surplus else []
    parts += [f"differs in {_difference(wrong[0], given, own)}"] if wrong else []
    return f"{' and '.join(parts)}; try the encoder that it is of" if parts else None


def _difference(name: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    theirs = tuple(given[name].shape) if name in given else "absent"
    return f"{name} is {theirs} there and {tuple(own[name].shape)} here"


def _some(names: Mapping[str, Tensor] | list[str]) -> str:
    """The first names, and how many more."""
    names = list(names)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
