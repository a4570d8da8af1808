"""Build the encoder that a checkpoint is of."""

from mim.encoder.encoder import Encoder
from mim.encoder.timm_model import input_side
from mim.geometry import pair
from mim.plain import Settings, printable
from mim.ranges import Size
from mim.weights.architecture import TIMM_VIT, check_shapes
from mim.weights.settings import ENCODER, Kind, build, check_settings, public_classes
from mim.weights.sizes import measured_sizes, sizes_of
from mim.weights.weights import Weights

# of an image, 2048 x 2048 in patches of 16; of an index of their distances
MOST_PATCHES, MOST_PAIRS = 2**14, 2**28


def encoder_config(
    weights: Weights,
    image_size: Size | None = None,
    heads: int | None = None,
    channels: int | None = None,
) -> Settings:
    """The `encoder` node of the config that builds the encoder these weights are of.

    Args:
        weights: of a run, which says how it was built, or of anyone, whose sizes are read off the
            tensors.
        image_size: pixels per side, or (height, width), where not those of the weights.
        heads: attention heads, where neither the weights nor the width tell.
        channels: of an image, where not those of the weights.

    Raises:
        ValueError: where something cannot be told, or the weights say other heads.
    """
    weights = weights.with_heads(heads)
    known = (weights.config or {}).get("encoder") or weights.architecture
    try:
        config = (
            check_settings(known, _kind(weights), weights.origin, "encoder")
            if known
            else sizes_of(weights)
        )
        # its tensors have names that nobody knows
        own = config["_target_"] not in public_classes(ENCODER)
        measured = {} if own else measured_sizes(weights.half(encoder=True))
    except (KeyError, IndexError, ArithmeticError, TypeError) as error:
        raise ValueError(
            f"{weights.origin} holds no whole encoder: {printable(error)} is missing or of no size "
            "that fits the others"
        ) from error
    if config["_target_"] == TIMM_VIT:
        config = _of_timm(config, measured, weights)
    if image_size and (not own or "image_size" in config):
        height, width = pair(image_size)
        config["image_size"] = height if height == width else [height, width]
    if config.get("image_size") is None and not own:
        raise ValueError(
            f"{weights.origin} does not say for which image size it was trained; give one: "
            "data.image_size=, --image-size, image_size= of mim.load"
        )
    for name, size in measured.items():
        if name in config and _plain(name, config[name]) != size:
            raise ValueError(
                f"{weights.origin} is damaged: its config says encoder.{name}={config[name]}, its "
                f"tensors {size}"
            )
    if not own and config["_target_"] != TIMM_VIT:  # timm's models keep theirs
        config["channels"] = channels or measured["channels"]
    _refuse_too_many_patches(config, weights)
    return config


def _plain(name: str, size: object) -> object:
    """A size as it is measured: of a square patch one number."""
    return (
        size[0]
        if name == "patch_size" and isinstance(size, list | tuple) and size[0] == size[-1]
        else size
    )


def build_encoder(
    weights: Weights,
    image_size: Size | None = None,
    heads: int | None = None,
    channels: int | None = None,
) -> Encoder:
    """The encoder that these weights are of, with new weights; see `encoder_config`.

    Raises:
        ValueError: where a checkpoint names anything but an encoder of this project, or the one
            that the command line names.
    """
    return build(
        encoder_config(weights, image_size, heads, channels),
        _kind(weights),
        weights.origin,
        "encoder",
    )


def _of_timm(config: Settings, measured: Settings, weights: Weights) -> Settings:
    """Settings of a transformer of timm with its sizes, once they are known to be those of the
    tensors.
    """
    sizes = {
        name: size
        for name, size in measured.items()
        if name != "channels" and config.get(name) is None
    }
    heads = {"heads": weights.heads} if config.get("heads") is None and weights.heads else {}
    config = config | sizes | heads
    if config.get("image_size") is None:
        config["image_size"] = (
            input_side(config["name"]) // config["patch_size"] * config["patch_size"]
        )
    check_shapes(config, weights.half(encoder=True), weights.origin)
    return config


def _kind(weights: Weights) -> Kind:
    """What these weights may name as their encoder."""
    return ENCODER._replace(own=weights.own_encoder)


def _refuse_too_many_patches(config: Settings, weights: Weights) -> None:
    """Positions and the index of their distances are made before any weight is loaded."""
    if not {"image_size", "patch_size"} <= config.keys():
        return
    (height, width), (tall, wide) = pair(config["image_size"]), pair(config["patch_size"])
    patches = max(0, height // tall) * max(0, width // wide)
    biases = str(config.get("positions", "")).endswith("bias")
    pairs = (
        patches**2 * (config["depth"] if str(config.get("positions")).endswith("block_bias") else 1)
        if biases
        else 0
    )
    if not 1 <= patches <= MOST_PATCHES or pairs > MOST_PAIRS:
        raise ValueError(
            f"{weights.origin} would be built for {patches:,} patches of an image of {height} x "
            f"{width}; 1 to "
            f"{MOST_PATCHES:,} are allowed, and fewer where it has biases by distance: choose "
            "another data.image_size"
        )
