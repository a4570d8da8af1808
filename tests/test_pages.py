"""Pages lead somewhere: every link, every heading, every entry of the site; and what is made from
configs is up to date.
"""

import importlib.util
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "benchmarks" / "README.md"])
COMMAND = re.compile(r"^[ $]*python -m mim ([a-z]+)(?![a-z])([^\n]*)", re.MULTILINE)


def without_code(text: str) -> str:
    """Text without what stands in code."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Headings of a page, as addresses have them."""
    titles = re.findall(
        r"^#+ (.+)$",
        re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL),
        flags=re.MULTILINE,
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))
    return [link for link in found if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not heading or heading in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_pages_of_the_site_lead_to_nothing_outside_of_it(page):
    outside = [
        link
        for link in links(page)
        if not (page.parent / link.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert not outside


def test_every_page_is_in_the_site_once():
    def listed(node):
        if isinstance(node, str):
            return [node]
        return [
            name
            for each in (node.values() if isinstance(node, dict) else node)
            for name in listed(each)
        ]

    names = listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(names) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_the_page_of_choices_is_what_the_configs_say():
    spec = importlib.util.spec_from_file_location("choose", DOCS / "choose.py")
    choose = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(choose)
    assert (DOCS / "choose.md").read_text() == choose.page(), (
        "python docs/choose.py > docs/choose.md"
    )
    assert "| `random` | MAE: three quarters of the patches, anywhere. |" in choose.page()


def test_the_table_of_readable_weights_is_true():
    spec = importlib.util.spec_from_file_location("readable", DOCS / "readable.py")
    readable = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readable)
    page = (DOCS / "weights.md").read_text()
    assert readable.written(page) == page, "python docs/readable.py"
    assert page.count(" | works: ") >= 39
    assert page.count(" | refused: ") >= 11


def commands() -> list[tuple[str, str]]:
    """Commands of `python -m mim` on pages, but for those that Hydra reads (tests/test_docs.py)."""
    text = "\n".join(re.sub(r"\s*\\\n\s*", " ", page.read_text()) for page in PAGES)
    shown = (
        (name, re.split(r"\s+#|\s{3,}| > | \.\.\.", rest)[0])
        for name, rest in COMMAND.findall(text)
    )
    return sorted(
        {
            (name, re.sub(r"<[^<>]*>", "some", rest))
            for name, rest in shown
            if name not in ("train", "evaluate")
        }
    )


@pytest.mark.parametrize(("name", "rest"), commands())
def test_a_command_of_a_page_is_understood(name, rest):
    if "--help" not in rest:
        import_module(f"mim.program.{name}").parser().parse_args(shlex.split(rest))


def test_pages_show_every_command():
    programs = {file.stem for file in (ROOT / "src" / "mim" / "program").glob("*.py")} - {
        "__init__"
    }
    assert {name for name, _ in commands()} | {"train", "evaluate"} == programs
