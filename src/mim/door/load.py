"""Open an encoder of anyone's: `mim.load`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from mim.door.preprocess import Preprocess, with_statistics
from mim.encoder.encoder import Attends, Encoder
from mim.geometry import Geometry
from mim.image_format import ImageFormat, Range
from mim.plain import printable
from mim.ranges import Size
from mim.weights.architecture import with_name
from mim.weights.build import build_encoder
from mim.weights.grid import tells_grid
from mim.weights.images import image_format
from mim.weights.into_model import load_weights_into
from mim.weights.read import read_weights
from mim.weights.weights import Weights


class LoadedEncoder(Encoder, Protocol):
    """Encoder of a checkpoint, in eval mode, with what its pictures have to go through."""

    preprocess: Preprocess
    """A picture of Pillow, an array or a path -> an image (C, H, W), normalised."""
    mean: tuple[float, ...]
    """Of each channel, of pixels in 0..1."""
    std: tuple[float, ...]
    """Deviation of each channel."""
    classes: tuple[str, ...]
    """Names of the classes of its training; empty where nothing says them."""
    describe: Callable[[], str]
    """Lines about where it is from, its architecture and its images."""


GUESSED = "; taken for a square, as nothing says their grid: image_size= is another"


class Description(NamedTuple):
    """Description of a loaded encoder."""

    origin: str
    architecture: str
    geometry: Geometry
    images: ImageFormat
    matched: str
    is_guessed: bool = False
    """Whether nothing says that the patches lie in a square."""

    def text(self) -> str:
        """A line for each subject."""
        (height, width), (rows, columns) = self.geometry.image_size, self.geometry.grid
        mean, std = (" ".join(f"{value:g}" for value in values) for values in self.images[:2])
        short, names = self.images.short_side(min(height, width)), self.images.classes
        tall, wide = self.geometry.patch_size
        patch = f"{tall}" if tall == wide else f"{tall} x {wide}"
        known = (
            f"{len(names):,}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
            if names
            else "not known"
        )
        said = {
            "checkpoint": self.origin,
            "encoder": self.architecture,
            "images": f"{self.geometry.channels} x {height} x {width}, {rows} x {columns} patches "
            f"of {patch}{GUESSED if self.is_guessed else ''}",
            "preprocess": f"short side to {short}, {self.images.interpolation}; mean {mean}, "
            f"deviation {std}{_black_and_white(self.images.range)}",
            "classes": known,
            "loaded": self.matched,
        }
        return "\n".join(f"{name:<14}{printable(line, 10_000)}" for name, line in said.items())


def _black_and_white(range: Range) -> str:
    """Which values are black and white, behind what else is done to a picture; nothing for their
    type's own.
    """
    if isinstance(range, tuple):
        return f"; black and white {range[0]:,g} to {range[1]:,g}"
    return "" if range is None else f"; black and white each image's own ({range})"


def load(
    source: str | Path,
    image_size: Size | None = None,
    *,
    heads: int | None = None,
    key: str | None = None,
    encoder_class: type | str | None = None,
    name: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> LoadedEncoder:
    """Encoder of a checkpoint, in eval mode, on the CPU.

    Args:
        source: a run folder, a `.ckpt`, `.pth` or `.safetensors` file, a folder that transformers
            saved, `timm:<name>` or `hf:<repository>`.
        image_size: pixels per side, or (height, width), where not those of the weights: positions
            are interpolated.
        heads: attention heads, where neither the weights nor the width tell.
        key: which weights of a file that holds several: the key or the prefix that they are under,
            "student", "state_dict_ema"; None for the averaged ones.
        encoder_class: a class of your own that the checkpoint may be of; files cannot name others.
        name: timm's name of the model, where nothing in a file tells: `eva02_tiny_patch14_224`.
        mean, std: normalisation of each channel, where the checkpoint says none or another.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where it cannot be read safely, or holds no encoder that is known here.
    """
    own = (
        f"{encoder_class.__module__}.{encoder_class.__qualname__}"
        if isinstance(encoder_class, type)
        else encoder_class
    )
    weights = with_name(read_weights(source, key)._replace(own_encoder=own), name)
    return load_weights(
        weights._replace(images=with_statistics(image_format(weights), mean, std)),
        image_size,
        heads,
    )


def load_weights(
    weights: Weights, image_size: Size | None = None, heads: int | None = None
) -> LoadedEncoder:
    """The same, of weights that have been read."""
    encoder = build_encoder(weights, image_size, heads)
    matched = load_weights_into(weights, encoder).removeprefix(f"{weights.origin}: ")
    images = image_format(weights)
    geometry = encoder.geometry
    loaded = cast(Any, encoder.eval())
    loaded.preprocess = Preprocess(geometry.image_size, images)
    loaded.mean, loaded.std, loaded.classes = images.mean, images.std, images.classes
    loaded.describe = Description(
        weights.origin,
        _architecture(encoder),
        geometry,
        images,
        matched,
        is_guessed=image_size is None and not tells_grid(weights),
    ).text
    return loaded


def _architecture(encoder: Encoder) -> str:
    count = sum(parameter.numel() for parameter in encoder.parameters())
    heads = f", {encoder.heads} heads" if isinstance(encoder, Attends) else ""
    tokens = f"{encoder.prefix} prefix token{'' if encoder.prefix == 1 else 's'}"
    sizes = (
        f"{encoder.depth} blocks, {encoder.width} wide{heads}, {tokens}, {count / 1e6:,.1f} M "
        "parameters"
    )
    return f"{type(encoder).__name__}, {sizes}"
