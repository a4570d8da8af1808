"""Page about the runs below a folder: one HTML file with their table, their curves and their
pictures.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mim.figure.epochs import with_start
from mim.figure.listing import Listed, numbers_of, said_of
from mim.figure.style import TEXT, frame, is_accuracy, line_style, spoken, unit

PICTURES = 2
"""Of a run, the newest."""
LONG = 35
"""Letters of a run's name, of which a panel has room for one beside another."""
LARGEST = 2**22
"""Bytes of a picture that is put into the page."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  color: #222; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.2rem }
.wide { overflow-x: auto } svg, img { max-width: 100%; height: auto }
img { image-rendering: pixelated }
table { border-collapse: collapse }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #ddd; font-weight: 600 } td { border-bottom: 1px solid #eee }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums } .differs { color: #555 }
.state { border-radius: .3rem; padding: 0 .4rem; background: #eee }
.finished { background: #d8f0d8 }
.running { background: #d8e6fa } .failed, .lost { background: #fadcd8 }
.interrupted, .pruned { background: #faf0d0 }
.runs { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } figcaption { font-size: .85rem; color: #555; overflow-wrap: anywhere }
"""


def page(runs: Sequence[Listed], folder: Path, unread: Sequence[str], made: str) -> str:
    """HTML that needs no other file and no network.

    Args:
        runs: as they are to be listed.
        folder: that they are below.
        unread: lines about runs that could not be read.
        made: when, for the reader.
    """
    title = f"{len(runs)} run{'s' * (len(runs) != 1)} in {folder}"
    parts = [
        f"<h1>{html.escape(title)}</h1><p>Made {html.escape(made)}. In brackets: the epoch of the "
        "best value.</p>",
        f'<div class="wide">{table(runs, folder)}</div>',
        *(f"<p>{html.escape(line)}</p>" for line in unread),
        *(f"<h2>Curves</h2>{drawn}" for drawn in [curves(runs, folder)] if drawn),
        *(
            f'<h2>Pictures</h2><div class="runs">{drawn}</div>'
            for drawn in [pictures(runs, folder)]
            if drawn
        ),
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width">'
    return (
        "<!doctype html>\n<html "
        f'lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'
    )


def named(run: Listed, folder: Path) -> str:
    """Run by its folder, as seen from the one that holds them all."""
    return (
        str(run.run.folder.relative_to(folder)) if run.run.folder != folder else run.run.folder.name
    )


def table(runs: Sequence[Listed], folder: Path) -> str:
    """Line a run: folder, state, numbers, and in what it differs from the others."""
    names = numbers_of(runs)
    header = ["run", "state", "epoch", *map(spoken, names), "differs in"]
    lines = ["".join(f"<th>{html.escape(name)}</th>" for name in header)]
    for run in runs:
        differs = ", ".join(f"{name}={value}" for name, value in run.differs.items())
        numbers = (f'<td class="number">{said_of(run.best.get(name), name)}</td>' for name in names)
        state = (
            f'<td><span class="state {html.escape(run.state)}">{html.escape(run.state)}</span></td>'
        )
        lines.append(
            f"<td>{html.escape(named(run, folder))}</td>{state}<td "
            f'class="number">{run.epoch or ""}</td>{"".join(numbers)}'
            f'<td class="differs">{html.escape(differs)}</td>'
        )
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def curves(runs: Sequence[Listed], folder: Path) -> str:
    """SVG of every number over the epochs, a line a run; empty where no run has two epochs."""
    names = [
        name for name in numbers_of(runs) if any(len(run.columns.get(name, ())) > 1 for run in runs)
    ]
    if not names:
        return ""
    figure = Figure(
        figsize=(5.2 * min(2, len(names)), 3.2 * -(-len(names) // 2) + 0.6), layout="constrained"
    )
    axes = figure.subplots(-(-len(names) // 2), min(2, len(names)), squeeze=False).flatten()
    for axis, name in zip(axes, names, strict=False):
        scale, label, _ = unit(name)
        for i, run in enumerate(runs):
            column = with_start(run.columns.get(name, {}), run.run.metrics.get(f"{name}_untrained"))
            if not column:
                continue
            style = line_style(i) | ({"marker": None} if len(column) > 25 else {})
            axis.plot(
                list(column),
                [scale * value for value in column.values()],
                label=named(run, folder),
                **style,
            )
        frame(axis, spoken(name), "epoch", label)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        if not is_accuracy(name):
            axis.set_ylim(0, 1.05 * max(0, *axis.dataLim.intervaly) or 1)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    found = [axis.get_legend_handles_labels() for axis in axes]
    lines = {label: line for drawn in found for line, label in zip(*drawn, strict=True)}
    columns = min(2, len(names)) if max(map(len, lines)) > LONG else 2 * min(2, len(names))
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower left",
        ncols=columns,
        fontsize=TEXT,
        frameon=False,
    )
    text = io.StringIO()
    with mpl.rc_context(
        {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "mim"}
    ):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().partition("<svg")[1] + text.getvalue().partition("<svg")[2]


def pictures(runs: Iterable[Listed], folder: Path) -> str:
    """Newest pictures of each run, inside of the page."""
    return "".join(
        _figure(file, named(run, folder)) for run in runs for file in _newest(run.run.folder)
    )


def _newest(folder: Path) -> list[Path]:
    files = [
        file
        for file in folder.glob("pictures/*.png")
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= LARGEST
    ]
    return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file))[-PICTURES:]


def _figure(file: Path, name: str) -> str:
    content = base64.b64encode(file.read_bytes()).decode()
    said = html.escape(f"{name}: {file.name}")
    return (
        f'<figure><img alt="{said}" '
        f'src="data:image/png;base64,{content}"><figcaption>{said}</figcaption></figure>'
    )
