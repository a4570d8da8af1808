"""Keep a figure as a picture to look at and as a file to print."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write `<name>.png` and `<name>.pdf`, and return the former.

    The text of the PDF is text (TrueType fonts, which publishers ask for), and the same figure
    gives the same file.
    """
    picture = folder / f"{name}.png"
    figure.savefig(picture)
    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    return picture
