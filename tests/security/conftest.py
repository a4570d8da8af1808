"""What many attacks need."""

from pathlib import Path

import pytest


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that a command out of a checkpoint would make."""
    return tmp_path / "executed"
