"""Folder of a repository: weights, what a library needs to build the model, and a model card."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from safetensors.torch import save_file

from mim.hub.card import card
from mim.image_format import ImageFormat
from mim.paper.records import Record, find_records
from mim.plain import Settings
from mim.weights.convert import contiguous, write
from mim.weights.images import image_format
from mim.weights.to_timm import TimmModel, in_timm
from mim.weights.weights import Weights


def write_folder(
    weights: Weights, out: Path, to: str, repository: str, licence: str, records: Sequence[Record]
) -> str:
    """Write what is to be pushed, and return the Python that loads it from the hub.

    Args:
        weights: of anyone's checkpoint.
        out: the folder; must not exist yet.
        to: `timm` or `hf`.
        repository: `user/name`.
        licence: as the hub abbreviates it.
        records: what is known of the weights' numbers.

    Raises:
        ValueError: where there is something at `out`, or the format cannot hold these weights.
    """
    if out.exists():
        raise ValueError(f"{out} exists already; remove it, or write elsewhere with --out")
    images = image_format(weights)
    use = (
        _write_timm(weights, out, images, repository)
        if to == "timm"
        else _write_hf(weights, out, repository)
    )
    text = card(repository, to, licence, use, weights.config, images, records)
    (out / "README.md").write_text(text)
    return use[-1]


def _write_hf(weights: Weights, out: Path, repository: str) -> list[str]:
    write(weights, out, "hf")
    return [
        "from transformers import ViTMAEForPreTraining",
        "import mim",
        "",
        f'model = ViTMAEForPreTraining.from_pretrained("{repository}")',
        f'encoder = mim.load("hf:{repository}")',
    ]


def _write_timm(weights: Weights, out: Path, images: ImageFormat, repository: str) -> list[str]:
    tensors, model = in_timm(weights)
    out.mkdir(parents=True)
    metadata = {"format": "pt", "images": json.dumps(images.to_plain())}
    save_file(contiguous(tensors), out / "model.safetensors", metadata=metadata)
    (out / "config.json").write_text(json.dumps(timm_config(model, images), indent=2) + "\n")
    return [
        "import timm",
        "import mim",
        "",
        f'model = timm.create_model("hf_hub:{repository}", pretrained=True)',
        f'encoder = mim.load("timm:hf_hub:{repository}")',
    ]


def timm_config(model: TimmModel, images: ImageFormat) -> Settings:
    """Content of `config.json`, from which `timm.create_model("hf_hub:...")` builds a model."""
    size = model.arguments["img_size"]
    arguments = {name: value for name, value in model.arguments.items() if name != "num_classes"}
    pretrained = {
        "input_size": [images.channels, size, size],
        "fixed_input_size": True,
        "interpolation": images.interpolation,
        "crop_pct": 1 / images.short,
        "mean": list(images.mean),
        "std": list(images.std),
        "num_classes": model.arguments["num_classes"],
    }
    named = {"label_names": list(images.classes)} if model.arguments["num_classes"] else {}
    return {
        "architecture": model.name,
        "num_classes": model.arguments["num_classes"],
        "model_args": arguments,
        "pretrained_cfg": pretrained | named,
    }


def records_of(checkpoint: str, runs: Path) -> list[Record]:
    """What a run measured while it trained, then what finished evaluations of it below a folder
    did; none for a file.
    """
    return list(_records_of(Path(checkpoint), runs))


def _records_of(folder: Path, runs: Path) -> Iterator[Record]:
    if not (folder / "results.json").is_file():
        return
    yield from (record for record in find_records(folder) if record.folder == folder)
    judged = find_records(runs) if runs.is_dir() else []
    for record in judged:
        same = record.checkpoint and Path(record.checkpoint).absolute() == folder.absolute()
        if record.program == "eval.py" and record.status == "finished" and same:
            yield record
