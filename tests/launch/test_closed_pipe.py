"""What is printed for somebody who has read enough, such as `head`."""

import json
import os
import subprocess
import sys

import pytest


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


@pytest.mark.slow
def test_a_run_goes_on_where_nobody_reads_what_it_prints(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mim", "train", f"hydra.run.dir={tmp_path}"]
    command += ["epochs=1", "warmup_epochs=0", "trainer.limit_train_batches=1"]
    command += ["trainer.accelerator=cpu", "callback=[announce,results]"]
    try:
        ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write)
    assert ended.returncode == 0
    assert ended.stderr.count("the run goes on") == 1
    assert json.loads((tmp_path / "results.json").read_text())["status"] == "finished"
