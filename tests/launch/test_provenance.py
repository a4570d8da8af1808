"""The commit that made a number is that of this code, and not of whatever repository it is
installed in.
"""

import subprocess

from mim.launch import provenance


def git(folder, *command):
    as_somebody = ["-c", "user.name=a", "-c", "user.email=a@b"]
    ended = subprocess.run(
        ["git", *as_somebody, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def test_a_package_inside_of_another_repository_has_no_commit(tmp_path, monkeypatch):
    module = tmp_path / ".venv" / "provenance.py"
    module.parent.mkdir()
    module.touch()
    monkeypatch.setattr(provenance, "__file__", str(module))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit() is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "theirs")
    assert provenance.commit() is None
    git(tmp_path, "add", ".venv/provenance.py")
    git(tmp_path, "commit", "-q", "-m", "ours")
    assert provenance.commit() == git(tmp_path, "rev-parse", "--short=12", "HEAD")
