"""What is printed for somebody who has read enough, such as `head`."""

import os
import subprocess
import sys


def test_lines_that_nobody_reads_are_no_error():
    """Hydra logs what `--info` says, and logging prints a traceback for each line that it loses."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mim", "train", "--info", "searchpath"]
    try:
        ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")
