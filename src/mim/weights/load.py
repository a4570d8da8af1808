"""Start from weights of anyone: what `checkpoint=` does."""

from pathlib import Path

from mim.encoder.encoder import Encoder
from mim.encoder.model import Model
from mim.geometry import PatchResize
from mim.ranges import Size
from mim.weights.build import build_encoder
from mim.weights.into_model import load_weights_into
from mim.weights.read import read_weights


def load_checkpoint_into(
    source: str | Path,
    model: Model | Encoder,
    key: str | None = None,
    patches: PatchResize | None = None,
) -> str:
    """Load weights into a model that has an `encoder` (or into an encoder), and return one line
    about what matched.

    Args:
        source: a run folder, a `.ckpt`, `.pth` or `.safetensors` file, a folder that transformers
            saved, `timm:<name>` or `hf:<repository>`; its format is recognised.
        model: changed in place; as it was where an error is raised.
        key: which weights of a file that holds several, as in `read`.
        patches: how the first layer is carried to patches of another size; None refuses those.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it cannot be read safely, or is not of this encoder.
    """
    return load_weights_into(read_weights(source, key)._replace(patches=patches), model)


def open_encoder(
    source: str | Path,
    image_size: Size | None = None,
    heads: int | None = None,
    own: str | None = None,
    channels: int | None = None,
) -> tuple[Encoder, str]:
    """Build the encoder that a checkpoint is of, and load it; positions are carried to `image_size`
    where that is another.

    Args:
        source: as in `load`.
        image_size: pixels per side, or (height, width), where not those of the weights.
        heads: attention heads, where neither the weights nor the width tell.
        own: a class of the user's own that it may be of, as the command line names it.
        channels: of an image, where not those of the weights.

    Returns:
        The encoder, and one line about what matched.
    """
    weights = read_weights(source)._replace(own_encoder=own)
    encoder = build_encoder(weights, image_size, heads, channels)
    return encoder, load_weights_into(weights, encoder)


def encoder_of(source: str | Path | None) -> Encoder:
    """The encoder of a checkpoint, for the image size that it was trained on.

    Raises:
        ValueError: where none is given.
    """
    if source is None:
        raise ValueError(
            "whose attention? give a checkpoint that has some, e.g. "
            "attention_from=timm:vit_small_patch16_224.dino"
        )
    return open_encoder(source)[0]
