"""Open a checkpoint from anywhere: a run, a file, timm or Hugging Face. Nothing in a file is ever
run.
"""

from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from mim.checkpoint.resume import checkpoint_file
from mim.checkpoint.sharded import is_sharded, read_rest, read_sharded_weights
from mim.checkpoint.sound import check_numbers, check_storage
from mim.image_format import INTERPOLATIONS, ImageFormat
from mim.moved import current
from mim.plain import Settings, plain, printable, read_json, refuse_special
from mim.weights.architecture import of_model, of_name
from mim.weights.families import of_transformers
from mim.weights.files import is_safetensors, open_torch, read_safetensors, unwrap
from mim.weights.formats import teacher_of, translate
from mim.weights.saved_folder import SAVED, parts_of, saved_weights
from mim.weights.strangers import refuse_other_config
from mim.weights.weights import Weights


def read_weights(source: str | Path, key: str | None = None) -> Weights:
    """Weights under our names.

    Args:
        source: a run folder, a `.ckpt` (a file, or the folder that many processes wrote), a `.pth`
            or `.safetensors` file, a folder that transformers saved, `timm:<name>`,
            `hf:<repository>`, or `teacher:` before a run or a file of one: the teacher that
            followed its model.
        key: which weights of a file that holds several: the key or the prefix that they are under,
            `student`, `state_dict_ema`; None for the averaged ones.

    Raises:
        FileNotFoundError: where there is nothing.
        ValueError: where it is damaged, wants to run code, holds no encoder that is known here, or
            nothing under `key`.
    """
    kind, colon, name = str(source).partition(":")
    if colon and kind in _REMOTE:
        return _REMOTE[kind](name, key)
    if colon and kind == "teacher":
        return read_file(checkpoint_file(Path(name)), key, teacher=True)
    path = Path(source)
    saved = saved_weights(path)
    if saved is not None:
        return _read_transformers(saved, saved.parent / "config.json", path.name, key)
    return read_file(checkpoint_file(path), key)


def read_file(file: Path, key: str | None = None, teacher: bool = False) -> Weights:
    """Weights of one file, or of the folder of many processes, under our names; the format is
    recognised by what is in it.

    Those of its teacher if asked for.
    """
    refuse_special(file)
    content, about, prefix = _open(file, key)
    tensors, form = _ours(teacher_of(content, file) if teacher else content, file, prefix)
    config, images = about.get("config"), about.get("images")
    return Weights(
        tensors,
        f"{file} ({form}{', its teacher' if teacher else ''}"
        f"{', under ' + about['under'] if 'under' in about else ''})",
        None if config is None else current(plain(config, str(file))),
        images=None if images is None else ImageFormat.from_plain(images, str(file)),
    )


def _open(file: Path, key: str | None) -> tuple[dict[str, Tensor], Settings, str | None]:
    """Tensors of a file, what it says about them, and what is left of the key: a prefix of their
    names.
    """
    if is_sharded(file):
        return read_sharded_weights(file), read_rest(file), key
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty (0 bytes); copy or download it again")
    if is_safetensors(file):
        return *read_safetensors(file), key
    return unwrap(open_torch(file), file, key)


def _ours(
    content: dict[str, Tensor], file: Path, prefix: str | None = None
) -> tuple[dict[str, Tensor], str]:
    """Tensors under our names, once they are known to be sound, and the format."""
    check_storage(content, str(file))
    tensors, form = translate(content, str(file), prefix)
    check_numbers(tensors, str(file))
    return tensors, form


def _read_transformers(file: Path, config: Path, name: str, key: str | None = None) -> Weights:
    content: dict[str, Tensor] = {}
    for part, names in parts_of(file):
        refuse_special(part)
        if not part.exists():
            raise FileNotFoundError(
                f"{part} is not there, and {file.name} says that it holds {len(names):,} tensors; "
                "copy it, too"
            )
        opened = (
            read_safetensors(part)[0]
            if is_safetensors(part)
            else unwrap(open_torch(part), part, None)[0]
        )
        missing = [each for each in names if each not in opened]
        if missing:
            raise ValueError(
                f"{part} lacks {printable(missing[0], 100)}, which {file.name} says it holds; copy "
                "it again"
            )
        content |= opened
    sizes = read_json(config) if config.exists() else {}
    known = of_transformers(content, sizes, str(config)) if key is None else None
    if known is None:
        tensors, form = _ours(content, file, key)
        refuse_other_config(sizes, config)
        inside = {
            each.removeprefix("encoder."): value
            for each, value in tensors.items()
            if each.startswith("encoder.")
        }
        said = sizes.get("architecture") if isinstance(sizes, dict) else None
        architecture = of_name(said, inside)
    else:
        check_storage(content, str(file))
        (tensors, architecture), form = known, f"Hugging Face, {sizes['model_type']}"
        check_numbers(tensors, str(file))
    about = sizes.get("vision_config", sizes) if isinstance(sizes, dict) else sizes
    heads, decoder_heads = (
        _heads(about, name, config)
        for name in ("num_attention_heads", "decoder_num_attention_heads")
    )
    images = _format_of_transformers(config.parent / "preprocessor_config.json")
    return Weights(
        tensors,
        f"{name} ({form})",
        heads=heads,
        decoder_heads=decoder_heads,
        images=images,
        architecture=architecture,
    )


def _format_of_transformers(file: Path) -> ImageFormat | None:
    """Image format of a processor that transformers saved; None where there is none, or it says no
    normalisation.
    """
    said = read_json(file) if file.exists() else {}
    if not isinstance(said, dict) or "image_mean" not in said or "image_std" not in said:
        return None
    return ImageFormat.from_plain({"mean": said["image_mean"], "std": said["image_std"]}, str(file))


def _heads(sizes: object, name: str, file: Path) -> int | None:
    heads = sizes.get(name) if isinstance(sizes, dict) else None
    if heads is not None and (type(heads) is not int or not 1 <= heads <= 1024):
        raise ValueError(
            f"{printable(file)}: {name} is {printable(heads, 60)}; needs a number of heads, 1 to "
            "1024"
        )
    return heads


def _from_timm(name: str, key: str | None = None) -> Weights:
    import timm

    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # a network, a registry and a cache may each fail in their own way
        raise ValueError(f"timm:{name} could not be had: {' '.join(str(error).split())}") from error
    architecture = of_model(model, name)
    tensors, _ = translate(model.state_dict(), f"timm:{name}", key)
    heads = [m.num_heads for name, m in model.named_modules() if name == "blocks.0.attn"]
    return Weights(
        tensors,
        f"timm:{name}",
        heads=heads[0] if heads else None,
        images=_format_of_timm(model),
        architecture=architecture,
    )


@runtime_checkable
class _Published(Protocol):
    """Model of timm, and what its weights were published with."""

    pretrained_cfg: Settings


def _format_of_timm(model: nn.Module) -> ImageFormat | None:
    """Image format that timm's own data config of a model has: mean, std, crop_pct,
    interpolation.
    """
    assert isinstance(model, _Published)
    said = model.pretrained_cfg
    if not {"mean", "std"} <= said.keys():
        return None
    how = said.get("interpolation")
    content = {"mean": said["mean"], "std": said["std"], "short": 1 / said.get("crop_pct", 0.875)}
    return ImageFormat.from_plain(
        content | {"interpolation": how if how in INTERPOLATIONS else "bicubic"}, "timm"
    )


def _from_hugging_face(repository: str, key: str | None = None) -> Weights:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    local = saved_weights(Path(repository))
    if local is not None:
        return _read_transformers(local, local.parent / "config.json", f"hf:{repository}", key)

    def download(name: str) -> Path:
        return Path(hf_hub_download(repository, name))

    try:
        config = download("config.json")
        for name in SAVED:
            with suppress(EntryNotFoundError):
                file = download(name)
                break
        else:
            raise ValueError(f"it holds none of {', '.join(SAVED)}")
        for part in dict.fromkeys(each.name for each, _ in parts_of(file)):
            download(part)
    except Exception as error:
        raise ValueError(
            f"hf:{repository} could not be had: {' '.join(str(error).split())}"
        ) from error
    with suppress(Exception):  # not every repository has one; it lies beside the config then
        download("preprocessor_config.json")
    return _read_transformers(file, config, f"hf:{repository}", key)


_REMOTE = {"timm": _from_timm, "hf": _from_hugging_face}
