"""Processes that torchrun restarts find each other anew."""

import os
import socket
import time
import uuid
from contextlib import suppress
from datetime import timedelta

from torch.distributed import TCPStore

_PLACE, _NAME = "mim/table", "mim/name"
_kept: list[TCPStore] = []


def forget_earlier_attempts() -> None:
    """Let the processes of each attempt meet at a table of their own.

    torchrun keeps one table over all attempts, and torch 2.15 writes the addresses of processes
    into it under the same names each time: whoever reads before the new address is there calls a
    process that is gone, and fails or waits for ever. The old table is good for one thing: to agree
    where the new one is. The number of an attempt is not: each computer counts its own.
    """
    if os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") == "0":
        return
    host = os.environ["MASTER_ADDR"]
    shared = TCPStore(host, int(os.environ["MASTER_PORT"]), is_master=False)
    port = lay(host, shared) if os.environ["RANK"] == "0" else find(host, shared)
    os.environ["MASTER_PORT"] = str(port)
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # the first process keeps it


def lay(host: str, shared: TCPStore) -> int:
    """A new table, and where it is; it is there as long as this process."""
    table = TCPStore(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
    _kept.append(table)
    name = uuid.uuid4().hex
    table.set(_NAME, name)
    shared.set(_PLACE, f"{table.port} {name}")
    return table.port


def find(host: str, shared: TCPStore, seconds: float = 600.0) -> int:
    """Where the first process of this attempt laid its table. What an earlier one left behind does
    not answer.

    Raises:
        ConnectionError: nothing answers in time.
    """
    begun = time.monotonic()
    while True:
        port, name = shared.get(_PLACE).decode().split()  # waits until there is one
        with suppress(OSError, RuntimeError):
            # asked first, because where nobody listens a table takes long to say so
            socket.create_connection((host, int(port)), timeout=5).close()
            table = TCPStore(host, int(port), is_master=False, timeout=timedelta(seconds=5))
            if table.check([_NAME]) and table.get(_NAME).decode() == name:
                return int(port)
        if time.monotonic() - begun > seconds:
            raise ConnectionError(
                f"rank 0 does not answer at {host}:{port}; open all ports between the computers, "
                "or start torchrun with "
                "--max-restarts 0"
            )
        time.sleep(0.2)
