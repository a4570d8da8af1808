"""Signs of life that processes give each other; real processes are killed in tests/faults."""

import threading
import time
from types import SimpleNamespace

import pytest
from torch.distributed import HashStore

from mim.run import rank_watchdog
from mim.run.rank_watchdog import _Watch


@pytest.fixture
def watch_of(monkeypatch):
    """Watches of some ranks, which look when they are told to, at one table."""
    table = HashStore()
    monkeypatch.setattr(rank_watchdog, "table_of_processes", lambda: table)
    return lambda rank, children=(): _Watch(rank, 2, children, patience=3, grace=0)


def test_who_gives_no_sign_while_others_look_is_lost(watch_of):
    first, second = watch_of(0), watch_of(1)
    assert [second._look(), *(first._look() for _ in range(4))] == [""] * 5
    why = "rank 1 was lost (no sign of life for 3 s); go on with resume=, from the last checkpoint"
    assert first._look() == why
    assert second._look() == why  # it is read by all


def test_who_gives_signs_is_not_lost_however_slow_he_is(watch_of):
    first, second = watch_of(0), watch_of(1)
    for _ in range(5):
        assert {first._look(), first._look(), first._look(), second._look()} == {""}


def test_a_computer_may_sleep(watch_of, monkeypatch):
    watches = watch_of(0), watch_of(1)
    for now in range(0, 10_000, 1000):
        monkeypatch.setattr(rank_watchdog, "time", SimpleNamespace(monotonic=lambda now=now: now))
        assert {watch._look() for watch in watches} == {""}


@pytest.mark.parametrize(
    ("code", "how"), [(-9, "killed by SIGKILL"), (3, "exit code 3"), (85, ""), (0, ""), (None, "")]
)
def test_a_child_that_ends_without_being_asked_is_lost(watch_of, code, how):
    child = SimpleNamespace(poll=lambda: code)
    said = watch_of(0, [child])._look()
    assert said.partition(";")[0] == (f"rank 1 was lost ({how})" if how else "")


def test_nobody_is_within_the_table_once_it_is_over(watch_of):
    """A thread that comes out of torch while Python ends makes torch abort: "terminate called
    without an active exception".
    """

    class SlowTable(HashStore):
        def set(self, *_):
            within.set()
            watch._over.wait()
            time.sleep(0.1)

    within, watch = threading.Event(), watch_of(0)
    watch.table = SlowTable()
    watch.start()
    within.wait()
    watch.end()
    assert not watch.is_alive()


def test_what_failed_first_is_what_all_say(watch_of):
    first, second = watch_of(0), watch_of(1)
    second.finish("ValueError: no")
    first.finish("KeyError: a consequence")
    assert first._look() == "rank 1 failed: ValueError: no"


class Ended(BaseException):
    """In the place of the end of this process."""


@pytest.fixture
def of_aborted(watch_of, monkeypatch):
    """A watch of some rank that has found rank 1 dead."""

    def end(code):
        raise Ended(code)

    def watch(rank):
        found = watch_of(rank, [SimpleNamespace(poll=lambda: -6)] if rank == 0 else ())
        found._publish("rank 1 was lost (killed by SIGABRT); go on")
        found.lost = found._look()
        return found

    monkeypatch.setattr(rank_watchdog.os, "_exit", end)
    return watch


def test_who_is_lost_in_training_ends_the_run_with_an_error(of_aborted, capsys):
    with pytest.raises(Ended, match=r"^1$"):
        of_aborted(0).run()
    assert capsys.readouterr().err == "error: rank 1 was lost (killed by SIGABRT); go on\n"


@pytest.mark.parametrize("rank", [0, 2])
def test_who_is_lost_once_everything_is_written_is_named_once_and_no_error(
    of_aborted, rank, capsys
):
    watch = of_aborted(rank)
    watch.complete()
    told = "rank 1 was lost (killed by SIGABRT), after everything was written\n"
    assert capsys.readouterr().err == (told if rank == 0 else "")
    with pytest.raises(Ended, match=r"^0$"):  # where this one does not end by itself
        watch.run()
    assert capsys.readouterr().err == ""


def test_who_dies_after_the_run_is_not_missed(watch_of, capsys):
    child = SimpleNamespace(poll=lambda: None)
    watch = watch_of(0, [child])
    watch.complete()
    child.poll = lambda: -6
    watch.run()  # to its end
    assert capsys.readouterr().err == ""


def test_a_run_that_is_complete_completes_its_watch(of_aborted):
    watchdog = rank_watchdog.RankWatchdog()
    watchdog._watch = of_aborted(0)
    watchdog.teardown(None, None, "fit")
    assert watchdog._watch.exit_code == 0
