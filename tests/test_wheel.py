"""An installed package works without a checkout: the wheel is built, unpacked, and used from a
folder of a user's own.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MADE_OF = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "src", "configs")

USE = """
import sys
from pathlib import Path
import mim
from mim.__main__ import main
from mim.installed import CONFIGS
assert str(CONFIGS).startswith(sys.argv[1]), CONFIGS
assert main(["tables", "amt"]) == 0
main(["train", "--config-dir", "mine", "masker=rows", "epochs=1", "warmup_epochs=0", "name=own",
      "callback=[results]",
      "trainer.limit_train_batches=1", "trainer.accelerator=cpu"])
"""
MASKER = """
from mim.masker.score.random import Random


class Mine(Random):
    pass
"""
CONFIG = """
defaults:
  - random
  - _self_
score: {_target_: my_masks.Mine}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an unpacked wheel."""
    source, made, site = (tmp_path_factory.mktemp(name) for name in ("source", "made", "site"))
    for name in MADE_OF:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(made),
        ".",
    ]
    subprocess.run(build, cwd=source, check=True, timeout=300, capture_output=True)
    (wheel,) = made.glob("mim_lab-*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def files(folder: Path, pattern: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob(pattern)}


def test_the_wheel_holds_all_modules_configs_and_tables(site):
    assert files(site / "mim" / "configs", "*.yaml") == files(ROOT / "configs", "*.yaml")
    assert files(site / "mim", "*.py") == files(ROOT / "src" / "mim", "*.py")
    assert files(site / "mim" / "paper", "*.yaml") == files(
        ROOT / "src" / "mim" / "paper", "*.yaml"
    )
    assert files(site / "hydra_plugins", "*.py") == files(ROOT / "src" / "hydra_plugins", "*.py")
    assert list(site.glob("mim_lab-*.dist-info/licenses/LICENSE"))
    assert {path.name for path in site.iterdir() if path.suffix != ".dist-info"} == {
        "mim",
        "hydra_plugins",
    }


def test_it_prints_tables_and_trains_with_modules_and_configs_of_a_users_own(site, tmp_path):
    (tmp_path / "my_masks.py").write_text(MASKER)
    (tmp_path / "mine" / "masker").mkdir(parents=True)
    (tmp_path / "mine" / "masker" / "rows.yaml").write_text(CONFIG)
    environment = os.environ | {
        "PYTHONPATH": f"{site}:{tmp_path}",
        "MIM_RUNS": str(tmp_path / "runs"),
    }
    command = [sys.executable, "-c", USE, str(site)]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert "python -m mim train experiment=amt/" in ended.stdout
    assert "train.py" not in ended.stdout + ended.stderr
    (folder,) = (tmp_path / "runs" / "own").iterdir()
    assert "my_masks.Mine" in (folder / "config.yaml").read_text()
    assert '"status": "finished"' in (folder / "results.json").read_text()
