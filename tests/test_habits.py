"""Files for other people's tools name what there is: Dockerfile, pre-commit, the workflow."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_dockerfile_copies_what_the_package_is_built_of():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert len(lines) <= 15
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)
    assert {
        "pyproject.toml",
        "setup.py",
        "MANIFEST.in",
        "README.md",
        "LICENSE",
        "configs",
        "src",
    } <= set(copied)
    assert lines[-1] == 'ENTRYPOINT ["python", "-m", "mim"]'


def test_hooks_and_workflow_run_what_make_lint_and_ci_run():
    lint = re.search(
        r"^lint:.*?\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE
    )[1]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = {" ".join(hook["entry"].removeprefix(".venv/bin/").split()[:2]) for hook in hooks}
    assert tools == {"ruff format", "ruff check", "mypy"}
    assert all(f"$(BIN)/{tool}" in lint for tool in tools)
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())["jobs"]["ci"][
        "steps"
    ]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").exists()


def test_runs_of_tests_are_not_written_into_the_checkout(runs_elsewhere, composed_command):
    cfg = composed_command("python train.py")
    assert Path(cfg.paths.runs) == runs_elsewhere
    assert not runs_elsewhere.is_relative_to(ROOT)


GENERATED = ("choose.md", "tables.md")


def test_lines_of_configs_and_prose_have_at_most_100_characters():
    """Ruff counts Python's. Tables, code, headings, pictures and addresses are as they are."""
    configs = [*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "src").rglob("*.yaml")]
    pages = [*(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md"), *ROOT.glob("*.md")]
    assert len(configs) > 300
    assert len(pages) > 20
    lines = [(file, line) for file in configs for line in file.read_text().splitlines()]
    for page in pages:
        if page.name not in GENERATED:
            prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)
            kept = (x for x in prose.splitlines() if not re.match(r"\s*[|#<]|    |!\[|\s*\[", x))
            lines += [(page, line) for line in kept]
    long = [(file.name, line) for file, line in lines if len(line) > 100]
    assert not [each for each in long if "${hydra:" not in each[1]]  # nothing to break there
