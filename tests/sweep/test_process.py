"""Jobs that are forked from one process are as jobs that begin anew, in everything that they can
see.
"""

import ast
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mim.sweep import process
from mim.sweep.process import begin_forked, begin_new, how_to_begin

SOURCE = ast.parse(
    Path(find_spec(process.IMPORTED).origin).read_text()
)  # not imported: that leads a session, and takes seconds
MODULES = next(ast.literal_eval(node.value) for node in SOURCE.body if isinstance(node, ast.Assign))
JOB = """
import json, multiprocessing, os, sys, time
import numpy
from mim.launch.errors import Interrupted
from mim.launch.signals import listen

listen()
print(json.dumps({
    "argv": sys.argv,
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "environment": [os.environ.get("MIM_REQUEUE"), os.environ.get("CUDA_VISIBLE_DEVICES")],
    "method": multiprocessing.get_start_method(),
    "main": [sys.modules["__main__"].__name__, sys.modules["__main__"].__spec__ is None],
    "random": numpy.random.random(),
}), flush=True)
try:
    print("error: no good", file=sys.stderr)
    time.sleep(float(sys.argv[2]))
except Interrupted as stop:
    raise SystemExit(stop.exit_code)
raise SystemExit(int(sys.argv[1]))
"""
SWEEP = """
import os, signal, sys, threading, time
from pathlib import Path
from mim.launch.errors import Interrupted
from mim.launch.signals import listen
from mim.sweep import process
from mim.sweep.fresh import Task, run_all

def stop_once_it_listens():
    while not Path("3/output.log").exists() or "no good" not in Path("3/output.log").read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)

process.IMPORTED = "numpy.random"  # what takes seconds is not what is tried here
listen()
jobs = [["job.py", "0", "0"], ["job.py", "3", "0"], ["-m", "job", "0", "0"]]
tasks = [Task(Path(str(i)), [sys.executable, *job], [], str(i), 1) for i, job in enumerate(jobs)]
run_all(tasks, 2, ["5"], [], process.begin_forked)
threading.Thread(target=stop_once_it_listens).start()
try:
    task = Task(Path("3"), [sys.executable, "job.py", "0", "60"], [], "3", 0)
    run_all([task], 1, [], [], process.begin_forked)
except Interrupted:
    print("stopped")
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Folder of a sweep, with what its four jobs said and how they ended."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "job.py").write_text(JOB)
    environment = os.environ | {
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    }
    ran = subprocess.run(
        [sys.executable, "-c", SWEEP],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "stopped" in ran.stdout
    said = [(folder / str(i) / "output.log").read_text().splitlines() for i in range(4)]
    codes = [json.loads((folder / str(i) / "job.json").read_text())["exit_code"] for i in range(4)]
    return [json.loads(lines[0]) for lines in said], [lines[1] for lines in said], codes


def test_exit_codes_and_output_are_those_of_the_job(swept):
    _, errors, codes = swept
    assert codes == [0, 3, 0, 85]
    assert errors == ["error: no good"] * 4


def test_a_job_is_the_program_that_it_was_given(swept):
    jobs, _, _ = swept
    assert [job["argv"][1:] for job in jobs[:3]] == [["0", "0"], ["3", "0"], ["0", "0"]]
    assert all(Path(job["argv"][0]).name == "job.py" for job in jobs)
    assert [job["main"] for job in jobs[:3]] == [
        ["__main__", True],
        ["__main__", True],
        ["__main__", False],
    ]


def test_a_job_leads_a_session_and_has_its_own_environment_and_chance(swept):
    jobs, _, _ = swept
    assert all(job["leads"] for job in jobs)
    assert [job["environment"] for job in jobs[:3]] == [["0", "5"]] * 3
    assert {job["method"] for job in jobs} == {
        "fork" if sys.version_info < (3, 14) else "forkserver"
    }
    assert len({job["random"] for job in jobs}) == 4


def test_jobs_are_forked_where_that_is_safe(monkeypatch):
    monkeypatch.setattr(process, "has_gpu_driver", lambda: False)
    assert how_to_begin(None) is begin_forked
    assert how_to_begin(False) is begin_new
    monkeypatch.setattr(process, "has_gpu_driver", lambda: True)
    assert how_to_begin(None) is begin_new
    assert how_to_begin(True) is begin_forked
    monkeypatch.setattr(sys, "platform", "darwin")
    assert how_to_begin(None) is begin_new
    with pytest.raises(
        ValueError, match=r"sweep\.share_imports=true needs Linux, and this is darwin"
    ):
        how_to_begin(True)


def test_modules_that_jobs_share_are_there():
    # one that cannot be imported would be left out without a word
    assert all(find_spec(name) for name in MODULES)


def test_what_jobs_share_is_no_loss_when_the_process_that_has_it_ends():
    """Objects that are frozen until the end are reported as lost by libraries of nanobind's."""
    lines = ["import atexit, gc", "atexit.register(lambda: print(gc.get_freeze_count()))"]
    node = next(node for node in SOURCE.body if isinstance(node, ast.Assign))
    without = ast.unparse(SOURCE).replace(ast.unparse(node), "MODULES = ()")  # they take seconds
    program = "\n".join([*lines, without, "print(gc.get_freeze_count())"])
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    frozen, at_the_end = map(int, ran.stdout.split())  # what is registered first is called last
    assert frozen > 1000, ran.stderr
    assert at_the_end == 0
