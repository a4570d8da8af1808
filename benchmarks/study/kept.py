"""Numbers of jobs, kept in one file beside the page: a reader can check the page by them, and a
study goes on where the folders of its jobs are gone.
"""

import json
from pathlib import Path

from jobs import Study
from results import done

ROW = ("pool", "setting", "top1")
SAID = ("metrics", "table", "wall_seconds", "commit", "hardware", "versions")


def keep(study: Study, file: Path) -> None:
    """Write a line for each job that has ended: its folder's name, what it is, and what it
    measured.
    """
    jobs = {job.folder: job for job in study.jobs() if done(job.folder)}
    lines = []
    asked = {f"{metric}{of}" for metric in study.plan.judges for of in ("", "_untrained")}
    for folder, job in jobs.items():
        said = json.loads((folder / "results.json").read_text())
        said["metrics"] = {
            name: value for name, value in said.get("metrics", {}).items() if name in asked
        }
        if "table" in said:  # of a probe; rows.py reads these of it
            said["table"] = [{name: row[name] for name in ROW} for row in said["table"]]
        what = {"folder": folder.name, "job": job.label, "status": "finished"}
        lines.append(json.dumps(what | {name: said[name] for name in SAID if name in said}))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def lay_out(file: Path, folder: Path) -> None:
    """Lay kept numbers where the study's jobs would have left them; folders that are there already
    stay as they are. A job that judges weights of such a training cannot be run: the weights are
    not kept.
    """
    for line in file.read_text().splitlines():
        said = json.loads(line)
        job = folder / said["folder"]
        if not job.exists():
            job.mkdir(parents=True)
            (job / "results.json").write_text(json.dumps(said))
