"""What a GPU is tested by runs here too, on the CPU and in toy size, so that it does not rot
between two GPUs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_all_that_a_gpu_has_to_pass_passes_on_the_cpu():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "gpu",
        "tests/gpu",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {"MIM_TEST_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert "skipped" not in ended.stdout
