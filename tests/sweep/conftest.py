"""The same commands as in the end-to-end tests."""

from tests.e2e.conftest import command, runs, train

__all__ = ["command", "runs", "train"]
