"""Model card: what a repository says of its weights, made from what the run wrote."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mim.image_format import ImageFormat
from mim.paper.records import Record
from mim.plain import Settings, printable

PARTS = ("encoder", "masker", "loss", "teacher", "data", "pool", "optimizer", "schedule")
NUMBERS = (
    "seed",
    "epochs",
    "steps",
    "warmup_epochs",
    "images_per_step",
    "base_lr",
    "lr",
    "weight_decay",
)
OF_A_COMPUTER = ("root", "cache", "num_workers", "max_megapixels", "batch_size")
LIBRARIES = {"timm": "timm", "hf": "transformers"}


def card(
    title: str,
    format_: str,
    licence: str,
    use: Sequence[str],
    config: Settings | None,
    images: ImageFormat,
    records: Sequence[Record],
) -> str:
    """Model card in Markdown: licence, how to use the weights, how they were made, and their
    numbers.

    Args:
        title: name of the repository, `user/name`.
        format_: `timm` or `hf`.
        licence: as the hub abbreviates it, e.g. `apache-2.0`.
        use: lines of Python that load the weights.
        config: of the run that wrote them, resolved; None where no run of ours did.
        images: how pictures become images for them.
        records: what the run itself and evaluations of it have measured.
    """
    parts = [
        _front_matter(format_, licence),
        f"# {title.rpartition('/')[2]}",
        "Weights of a vision transformer, trained with `mim` (`mim-lab`): masked image modelling "
        "in PyTorch.",
        "## Use\n\n```python\n" + "\n".join(use) + "\n```",
        _images(images),
        "## How it was trained\n\n" + _recipe(config, records),
        "## Numbers\n\n" + _numbers(records),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(format_: str, licence: str) -> str:
    lines = [
        f"license: {licence}",
        f"library_name: {LIBRARIES[format_]}",
        "pipeline_tag: image-feature-extraction",
    ]
    return "\n".join(["---", *lines, "tags: [masked-image-modeling, mim]", "---"])


def _images(images: ImageFormat) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in images[:2])
    said = (
        f"Images have {images.channels} channels of pixels in 0..1, minus the mean ({mean}), "
        f"divided by ({std})."
    )
    side = (
        f"{images.short:g} times the side of the image"
        if images.short != 1
        else "the side of the image"
    )
    cut = f"Pictures are resized ({images.interpolation}) to {side}, and the centre is cut out."
    classes = f"\n\nClasses: {', '.join(map(_cell, images.classes))}." if images.classes else ""
    return f"{said} {cut}{classes}"


def _recipe(config: Settings | None, records: Sequence[Record]) -> str:
    """Table of the parts and numbers of a run, and the command that makes it again."""
    if config is None:
        return "The file that was pushed does not say."
    rows = [(name, part_said(config[name])) for name in PARTS if config.get(name)]
    rows += [(name, f"{config[name]}") for name in NUMBERS if config.get(name) is not None]
    made = [record for record in records if record.program == "train.py"][:1]
    for record in made:
        minutes = float(record.results.get("wall_seconds") or 0) / 60
        time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.1f} minutes"
        rows += [
            ("hardware", record.hardware),
            ("wall time", time),
            ("commit of mim", record.commit),
        ]
    table = _table(("setting", "value"), rows)
    return table + "".join(f"\n\nMade by `{_cell(without_places(record))}`." for record in made)


def _numbers(records: Sequence[Record]) -> str:
    rows = [row for record in records for row in _measured(record)]
    if not rows:
        return "Not measured."
    said = "On held-out images, each with the command that made it.\n\n"
    return said + _table(("number", "value", "95 % interval", "made by"), rows)


def _measured(record: Record) -> Iterator[tuple[str, ...]]:
    """Accuracies of one run, in per cent; those of the untrained encoder are no numbers of these
    weights.
    """
    trained = record.program == "train.py"
    numbers = record.results.get("metrics", {}) if trained else record.results
    intervals = record.results.get("intervals", {}) if trained else {}
    for name, value in numbers.items():
        if name.endswith(("/top1", "/top5")) and isinstance(value, int | float):
            interval = intervals.get(name) or numbers.get(f"{name}_interval")
            between = (
                f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
                if interval
                else "not computed"
            )
            made = "the training above" if trained else f"`{without_places(record)}`"
            yield name, f"{100 * value:.2f} %", between, made


def part_said(node: object) -> str:
    """A part of a config as Python would build it:
    `Masker(score=Random, partition=FixedRatio(ratio=0.75))`.
    """
    if isinstance(node, list):
        return f"[{', '.join(map(part_said, node))}]"
    if not isinstance(node, Mapping):
        return str(node)
    kept = {
        key: value
        for key, value in node.items()
        if not str(key).startswith("_") and key not in OF_A_COMPUTER
    }
    inside = ", ".join(
        f"{key}={part_said(value)}" for key, value in kept.items() if value is not None
    )
    name = str(node.get("_target_", "")).rpartition(".")[2]
    return f"{name}({inside})" if inside else name or "{}"


def without_places(record: Record) -> str:
    """Command of a record, without where things are on somebody's computer."""
    words = record.command.split(" ")
    return " ".join(_without_place(word) for word in words)


def _without_place(word: str) -> str:
    name, equals, value = word.partition("=")
    plain = value.strip("'\"")
    if name.lstrip("+") == "checkpoint" and ":" not in plain:
        return f"{name}=<this model>"
    return (
        f"{name}=<{Path(plain).name}>"
        if equals and os.path.isabs(os.path.expanduser(plain))
        else word
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """Text for a cell of a table: a file may have been written by anybody."""
    return printable(text, 2000).replace("|", "\\|")
