"""What jobs of a sweep import, imported once: `mim/sweep/process.py` loads this module in the
process that jobs are forked from.

Nothing is built here and no thread is begun. Signals that stop a run are held back until a job
listens.
"""

import os
import signal
from contextlib import suppress
from importlib import import_module

from mim.launch.imports import freeze_imported, without_collection
from mim.launch.quiet import silence_libraries
from mim.launch.signals import SIGNALS

MODULES = (
    "torch._dynamo",
    "torchmetrics",
    "pytorch_lightning",
    "timm",
    "mim.command.train",
    "mim.command.evaluate",
)

os.setsid()  # Ctrl-C in a terminal is for the sweep, which tells its jobs
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
silence_libraries()  # libraries choose how loud they are while they are imported
with without_collection():
    for name in MODULES:
        with suppress(Exception):  # a broken library is for the job to name that needs it
            import_module(name)
freeze_imported()  # jobs share the memory of what is never changed
