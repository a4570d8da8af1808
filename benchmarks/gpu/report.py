"""What a part of the GPU benchmark found: tables and notes, printed as they come and kept as
JSON.
"""

import json
from pathlib import Path
from typing import TypedDict

Cell = str | int | float


class Table(TypedDict):
    """One table: a caption, its columns and its rows so far."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]


class Report:
    """Tables of one part, written anew after each row, so that a part which is stopped leaves what
    it had.

    Args:
        path: JSON file; its folder exists.
    """

    def __init__(self, path: Path):
        self.path = path
        self.tables: list[Table] = []
        self.notes: list[str] = []
        self._write()

    def table(self, caption: str, columns: list[str]) -> None:
        """Begin a table; the rows that follow are its own."""
        self.tables.append(Table(caption=caption, columns=columns, rows=[]))
        print(
            f"\n{caption}\n{markdown_row(columns)}\n{markdown_row(['---'] * len(columns))}",
            flush=True,
        )

    def row(self, *cells: Cell) -> None:
        """One row of the last table.

        Raises:
            ValueError: where there are not as many cells as columns.
        """
        table = self.tables[-1]
        if len(cells) != len(table["columns"]):
            raise ValueError(
                f"row got {len(cells)} cells; the table has {len(table['columns'])} columns"
            )
        table["rows"].append(list(cells))
        print(markdown_row(cells), flush=True)
        self._write()

    def note(self, text: str) -> None:
        """One sentence under the tables."""
        self.notes.append(text)
        print(f"- {text}", flush=True)
        self._write()

    def _write(self) -> None:
        self.path.write_text(json.dumps({"tables": self.tables, "notes": self.notes}, indent=1))


def markdown_row(cells: list[str] | tuple[Cell, ...]) -> str:
    """Cells -> one line of a Markdown table; numbers with up to four significant digits."""
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def markdown(path: Path) -> str:
    """A part's JSON -> its tables and notes as Markdown."""
    found = json.loads(path.read_text())
    parts = []
    for table in found["tables"]:
        lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
        parts.append(
            f"{table['caption']}\n\n" + "\n".join(markdown_row(tuple(line)) for line in lines)
        )
    if found["notes"]:
        parts.append("\n".join(f"- {note}" for note in found["notes"]))
    return "\n\n".join(parts)
