"""Processes that torchrun restarts meet at a new table, whatever an earlier attempt left in the old
one.
"""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from torch.distributed import TCPStore

from mim.launch import restart


@pytest.fixture
def shared():
    """The table that torchrun keeps."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def _client(store: TCPStore) -> TCPStore:
    return TCPStore("127.0.0.1", store.port, is_master=False)


def _nobody_listens_at() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_who_comes_before_the_first_process_waits_for_its_table(shared, monkeypatch):
    looked = threading.Event()
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: looked.set())
    monkeypatch.setattr(restart, "time", clock)
    shared.set("mim/table", f"{_nobody_listens_at()} earlier")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(restart.find, "127.0.0.1", _client(shared), seconds=300)
        assert looked.wait(300)
        assert not other.done()
        port = restart.lay("127.0.0.1", _client(shared))
        assert other.result() == port


def test_a_port_that_somebody_else_has_now_is_not_taken_for_the_table(shared):
    stranger = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared.set("mim/table", f"{stranger.port} earlier")
    with pytest.raises(
        ConnectionError, match=f"does not answer at 127.0.0.1:{stranger.port}; open all ports"
    ):
        restart.find("127.0.0.1", _client(shared), seconds=0.3)


def test_computers_that_count_attempts_differently_meet(shared, monkeypatch):
    """torchrun counts a restart only on the computer whose process failed."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    ports = []
    for rank, attempt in (("0", "0"), ("1", "1")):
        for name, value in {
            "MASTER_PORT": str(shared.port),
            "RANK": rank,
            "TORCHELASTIC_RESTART_COUNT": attempt,
            "TORCHELASTIC_MAX_RESTARTS": "3",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }.items():
            monkeypatch.setenv(name, value)
        restart.forget_earlier_attempts()
        ports.append(restart.os.environ["MASTER_PORT"])
    assert ports[0] == ports[1] != str(shared.port)


def test_without_restarts_torchruns_table_is_as_good(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "0")
    monkeypatch.setenv("MASTER_PORT", "1")
    restart.forget_earlier_attempts()
    assert restart.os.environ["MASTER_PORT"] == "1"
