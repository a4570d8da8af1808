"""Every command that a page shows is one that runs: it composes and passes the checks that it would
make itself.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
)
SWEEP = re.compile(r" -m\b| --")
"""What one config does not say: several jobs, and Hydra's own options."""


def shown(text: str) -> list[str]:
    """Commands at the beginning of a line of a code block, without what follows them in words."""
    text = text.replace("python -m mim train", "python train.py").replace(
        "python -m mim evaluate", "python eval.py"
    )
    lines = re.findall(
        r"^ *(python (?:train|eval)\.py[^\n]*)",
        re.sub(r"\s*\\\n\s*", " ", text),
        flags=re.MULTILINE,
    )
    commands = (re.split(r"\s+#|\s{3,}| \.\.\.", line)[0] for line in lines)
    return [
        re.sub(r"<[^<>]*>", "run", command) for command in commands if not SWEEP.search(command)
    ]


COMMANDS = sorted({command for page in PAGES for command in shown(page.read_text())})


def test_pages_show_commands():
    assert len(COMMANDS) > 30
    assert shown(
        "$ python train.py no\nSay `python train.py no`.\n\n  python train.py a=<b> \\\n c=1   # "
        "yes\n"
    ) == ["python train.py a=run c=1"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_composes_and_passes_the_check(composed_command, command):
    composed_command(command)
