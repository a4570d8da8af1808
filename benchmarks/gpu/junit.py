"""pytest's JUnit XML as a table."""

from pathlib import Path
from xml.etree import ElementTree

from report import Report


def tests_of(xml: Path, report: Report) -> None:
    """One row for each test: what it measured, how it ended, and why where it failed."""
    report.table("Tests on the GPU", ["test", "outcome", "seconds", "measured"])
    if not xml.exists():
        report.note("No test came to its end in time.")
        return
    for case in ElementTree.parse(xml).iter("testcase"):
        bad = [part for kind in ("failure", "error") for part in case.findall(kind)]
        skipped = case.find("skipped") is not None
        why = f"failed: {(bad[0].get('message') or '').splitlines()[0][:160]}" if bad else ""
        measured = ", ".join(f"{p.get('name')} {p.get('value')}" for p in case.iter("property"))
        outcome = why or ("skipped" if skipped else "passed")
        report.row(
            case.get("name", "?"),
            outcome.replace("|", "/"),
            round(float(case.get("time", 0)), 1),
            measured,
        )
