"""Processes that torchrun restarts find each other anew."""

import os
import socket

from torch.distributed import TCPStore


def forget_earlier_attempts() -> None:
    """Let the processes of a restart meet at a table of their own.

    torchrun keeps one table over all attempts, and torch 2.15 writes the addresses of processes into it under the same names
    each time: whoever reads before the new address is there calls a process that is gone, and fails or waits for ever. The old
    table is good for one thing: to agree where the new one is.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if attempt == "0":
        return
    shared = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    place = f"mim/port/{attempt}"
    if os.environ["RANK"] == "0":
        shared.set(place, str(_free_port()))
    os.environ["MASTER_PORT"] = shared.get(place).decode()  # waits until it is there
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"  # the first process keeps it


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return listener.getsockname()[1]
